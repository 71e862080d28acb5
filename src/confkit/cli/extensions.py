"""Subcommands that plugins bring along. A plugin is imported only when its subcommand, or the list, is asked for."""

from __future__ import annotations

from typing import Any

import pluggy
import typer
import typer.core
import typer.main

from confkit.cli.failures import complain
from confkit.models.errors import PluginError
from confkit.provider.contract import PROJECT, ModuleSpec
from confkit.provider.discovery import installed, load_module, register


class Commands(typer.core.TyperGroup):
    """confkit's own commands, then those of the plugins."""

    def __init__(self, **details: Any) -> None:
        super().__init__(**details)
        self._extended = False

    def list_commands(self, ctx: Any) -> list[str]:
        self._extend()
        return list(super().list_commands(ctx))

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in self.commands:
            self._extend()
        return super().get_command(ctx, cmd_name)

    def _extend(self) -> None:
        if self._extended:
            return
        self._extended = True
        for name in installed():
            try:
                added = _commands_of(name)
            except PluginError as error:
                complain(f"warning: {error}")
                continue
            for command, built in added.items():
                if command in self.commands:
                    complain(f"warning: the plugin {name!r} brings a command {command!r}, which there is already")
                else:
                    self.commands[command] = built


def run_demo(plugin: str, *, parties: int, as_json: bool) -> int:
    """Run the demo that a plugin brings.

    Returns:
        The exit status.

    Raises:
        ProviderNotFound: lists what is installed.
        PluginError: it brings none, or cannot be loaded.
    """
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(ModuleSpec)
    register(manager, load_module(plugin), plugin)
    status: int | None = manager.hook.confkit_demo(parties=parties, as_json=as_json)
    if status is None:
        raise PluginError(f"the plugin {plugin!r} brings no demo; confkit demo --provider bandwidth needs no account")
    return status


def _commands_of(plugin: str) -> dict[str, Any]:
    """The subcommands that a plugin module adds.

    Raises:
        PluginError: it cannot be loaded, or fails to add them.
    """
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(ModuleSpec)
    register(manager, load_module(plugin), plugin)
    app = typer.Typer()
    try:
        manager.hook.confkit_add_commands(app=app)
    except Exception as error:
        raise PluginError(f"the plugin {plugin!r} cannot add its commands: {type(error).__name__}: {error}") from error
    return dict(typer.main.get_group(app).commands)
