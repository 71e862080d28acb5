"""``confkit new-provider``: from a name to a package that installs, is found, and passes the conformance suite."""

from __future__ import annotations

import re
from importlib import resources
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from confkit.models.errors import ConfkitError

if TYPE_CHECKING:
    import jinja2

_NAME: Final = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
#: Template to the file that is made of it.
_FILES: Final = {
    "pyproject.toml.jinja": "pyproject.toml",
    "README.md.jinja": "README.md",
    "ci_run.jinja": ".ci/run",
    "gitignore.jinja": ".gitignore",
    "init.py.jinja": "src/{package}/__init__.py",
    "settings.py.jinja": "src/{package}/settings.py",
    "provider.py.jinja": "src/{package}/provider.py",
    "wire.py.jinja": "src/{package}/wire.py",
    "typed.jinja": "src/{package}/py.typed",
    "simulator.py.jinja": "tests/{package}_simulator.py",
    "test_conformance.py.jinja": "tests/test_conformance.py",
}


def new_provider(name: str, folder: Path) -> Path:
    """Write the package of a new provider.

    Args:
        name: the provider's: lower-case letters and digits, with hyphens between them.
        folder: where the package's own folder is made.

    Returns:
        The package's folder.

    Raises:
        ConfkitError: the name cannot be one, the folder is there already, or the extra is not installed.
    """
    if not _NAME.fullmatch(name):
        raise ConfkitError(f"{name!r} cannot be a provider's name: write lower-case letters and digits, such as acme")
    target = folder / f"confkit-{name}"
    if target.exists():
        raise ConfkitError(f"{target} is there already")
    words = name.split("-")
    values = {
        "name": name,
        "distribution": f"confkit-{name}",
        "package": "confkit_" + "_".join(words),
        "title": "".join(word.capitalize() for word in words),
        "variable": "_".join(words).upper(),
        "version": version("confkit"),
    }
    templates = _templates()
    for template, path in _FILES.items():
        file = target / path.format(**values)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(templates.get_template(template).render(values), encoding="utf-8")
    (target / ".ci/run").chmod(0o755)
    return target


def _templates() -> jinja2.Environment:
    try:
        import jinja2
    except ModuleNotFoundError:
        raise ConfkitError("new-provider needs confkit[scaffold]: pip install 'confkit[scaffold]'") from None
    folder = resources.files("confkit.cli.scaffold") / "templates"
    sources = {template: (folder / template).read_text(encoding="utf-8") for template in _FILES}
    return jinja2.Environment(
        loader=jinja2.DictLoader(sources),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,  # it is Python that is written, not HTML
    )


def add(app: Any) -> None:
    """Add the command to the command line; ``app`` is a ``typer.Typer``."""

    @app.command("new-provider")  # type: ignore[untyped-decorator]
    def command(
        name: Annotated[str, typer.Argument(help="The provider's name, such as acme.")],
        folder: Annotated[Path, typer.Option("--into", help="Where to make the package's folder.")] = Path(),
    ) -> None:
        """Write a complete provider package: plugin, simulator, tests, CI."""
        try:
            target = new_provider(name, folder)
        except ConfkitError as error:
            raise typer.BadParameter(str(error)) from error
        typer.echo(f"{target}: its README has two commands, and what to change next")
