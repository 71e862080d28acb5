"""A provider's settings: keywords first, then the environment, then defaults; every mistake in one error.

A plugin declares them as a frozen attrs class. Each field is a setting; its environment name is
``<PREFIX>_<FIELD>`` in capitals, or the one in its ``metadata["env"]``. Fields with ``repr=False`` are
secrets; a function as ``repr`` says how a field may be shown.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import NOTHING, Attribute, Factory, field, fields, frozen

from confkit.errors import SettingsError

T = TypeVar("T")


@frozen(kw_only=True)
class Settings:
    """What the application gave for a provider.

    Args:
        provider: the provider's name.
        keywords: as passed to the client.
        environ: environment variables; the process's own by default.
    """

    provider: str
    keywords: Mapping[str, Any] = field(factory=dict, repr=False)
    environ: Mapping[str, str] = field(factory=lambda: os.environ, repr=False)

    def read(self, kind: type[T], *, prefix: str | None = None) -> T:
        """Build the plugin's settings class.

        Args:
            kind: a frozen attrs class; converters and validators may raise ``ValueError`` or ``TypeError``.
            prefix: of the environment names; the provider's name by default.

        Raises:
            SettingsError: lists every unknown, missing and malformed setting.
        """
        start = (prefix or self.provider).upper().replace("-", "_") + "_"
        known = {attribute.name: attribute for attribute in fields(kind)}  # type: ignore[arg-type]
        problems = [
            f"unknown setting {name!r} (known: {', '.join(sorted(known))})"
            for name in sorted(set(self.keywords) - set(known))
        ]
        values: dict[str, Any] = {}
        for name, attribute in known.items():
            variable = attribute.metadata.get("env") or start + name.upper()
            given = self.keywords.get(name)
            if given is None:
                given = self.environ.get(variable) or None
            if given is None and attribute.default is NOTHING:
                problems.append(f"{name} is missing: pass {name}= or set {variable}")
            elif given is not None:
                values[name] = given
                problems += _problems_with(attribute, given, variable)
        if problems:
            raise SettingsError(self.provider, problems)
        return kind(**values)


def _problems_with(attribute: Attribute[Any], given: Any, variable: str) -> list[str]:
    """Try the field's own converter and validator on the value, so that all mistakes come at once."""
    try:
        value = attribute.converter(given) if attribute.converter else given  # type: ignore[operator]
        if attribute.validator and not isinstance(attribute.default, Factory):  # type: ignore[arg-type]
            attribute.validator(None, attribute, value)
    except (ValueError, TypeError, ArithmeticError) as error:
        show = attribute.repr if callable(attribute.repr) else repr
        reason = error.args[0] if error.args else error  # attrs' validators add the field and the value to theirs
        shown = "" if attribute.repr is False else f" ({show(given)}: {reason})"
        return [f"{attribute.name} is malformed{shown}: check {attribute.name}= or {variable}"]
    return []
