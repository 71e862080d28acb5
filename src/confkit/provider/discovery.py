"""Discovery: one ``PluginManager`` for each client, and only the plugin that was asked for is loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pluggy

from confkit.models.capabilities import Capabilities
from confkit.models.errors import PluginError, ProviderNotFound
from confkit.provider.contract import PROJECT, REQUIRED, ModuleSpec, ProviderSpec
from confkit.provider.settings import Secret, Settings

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "confkit"


def installed() -> dict[str, list[EntryPoint]]:
    """The installed providers by name; more than one entry point under a name is a clash."""
    from importlib.metadata import entry_points  # it loads a mail parser and a zip reader

    found: dict[str, list[EntryPoint]] = {}
    for point in entry_points(group=GROUP):
        same = found.setdefault(point.name, [])
        # An editable install can show one distribution twice; that is not two plugins.
        if all((other.value, _home(other)) != (point.value, _home(point)) for other in same):
            same.append(point)
    return dict(sorted(found.items()))


def load_module(name: str) -> Any:
    """Import the plugin module behind a provider's name.

    Raises:
        ProviderNotFound: lists what is installed.
        PluginError: two distributions claim the name, or the module does not import.
    """
    points = installed().get(name, [])
    if not points:
        raise ProviderNotFound(f"no provider {name!r} is installed; installed: {', '.join(installed()) or 'none'}")
    if len(points) > 1:
        homes = " and ".join(sorted(_home(point) for point in points))
        raise PluginError(f"the provider name {name!r} is claimed by {homes}: uninstall one of them")
    try:
        return points[0].load()
    except Exception as error:
        raise PluginError(
            f"the plugin {name!r} ({_home(points[0])}) does not load: {type(error).__name__}: {error}"
        ) from error


def open_provider(
    provider: str | object, keywords: Mapping[str, Any] | Secret[Mapping[str, Any]], *, plugins: Sequence[object] = ()
) -> tuple[str, pluggy.PluginManager]:
    """Build a provider and the manager that its hooks are called through.

    Args:
        provider: an entry point's name, or a provider object for one that is not installed.
        keywords: its settings.
        plugins: wrappers and observers.

    Returns:
        The provider's name and the manager, with everything registered and checked.

    Raises:
        PluginError: an operation or argument is misspelt, or a required operation is missing.
    """
    given: Secret[Mapping[str, Any]] = Secret(keywords)
    del keywords
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(ModuleSpec)
    manager.add_hookspecs(ProviderSpec)
    if isinstance(provider, str):
        name = provider
        register(manager, load_module(name), f"{name} (module)")
        built = manager.hook.confkit_create_provider(settings=Settings(provider=name, keywords=given))
        if built is None:
            raise PluginError(f"the plugin {name!r} does not implement confkit_create_provider")
    else:
        if given.reveal():
            names = ", ".join(sorted(given.reveal()))
            raise PluginError(f"settings ({names}) are for a provider given by name; this one is built already")
        built = provider
        name = str(getattr(provider, "name", type(provider).__name__))
    register(manager, built, name)
    for plugin in plugins:
        register(manager, plugin, getattr(plugin, "__name__", None) or type(plugin).__name__)
    lacking = [operation for operation in REQUIRED if not implements(manager, operation)]
    if lacking:
        raise PluginError(f"the provider {name!r} does not implement {', '.join(lacking)}")
    return name, manager


def default_capabilities(name: str) -> Capabilities | None:
    """What a provider can do with its default settings; ``None`` where its plugin does not say.

    Raises:
        ProviderNotFound: lists what is installed.
        PluginError: the plugin does not load or does not fit the contract.
    """
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(ModuleSpec)
    register(manager, load_module(name), name)
    capabilities: Capabilities | None = manager.hook.confkit_capabilities()
    return capabilities


def register(manager: pluggy.PluginManager, plugin: object, name: str) -> None:
    """Register a plugin and hold it to the specifications.

    Raises:
        PluginError: names the plugin and the mistake.
    """
    try:
        # One class may be used for several observers, so the object's identity makes the name unique.
        manager.register(plugin, name if not manager.has_plugin(name) else f"{name} {id(plugin)}")
        manager.check_pending()
    except (pluggy.PluginValidationError, ValueError) as error:
        raise PluginError(f"the plugin {name!r} does not fit the contract: {' '.join(str(error).split())}") from error


def implements(manager: pluggy.PluginManager, operation: str) -> bool:
    """Whether a provider (not only a wrapper around one) implements the operation."""
    caller: pluggy.HookCaller = getattr(manager.hook, operation)
    return any(not (impl.wrapper or impl.hookwrapper) for impl in caller.get_hookimpls())


def _home(point: EntryPoint) -> str:
    return point.dist.name if point.dist else point.value
