"""Loading a provider: what is wrong with a plugin is said before the first call, and names the plugin."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from confkit_fake import FakeProvider

from confkit import AsyncClient, Mode, PluginError, ProviderNotFound, SettingsError
from confkit.provider import Capabilities, hookimpl

OURS = "+12018994444"
ANN, BOB = "+19195550101", "+19195550102"

Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Put a distribution with an entry point, and the module behind it, where Python finds them."""
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)

    def add(distribution: str, provider: str, source: str, module: str = "") -> None:
        module = module or distribution.replace("-", "_")
        (tmp_path / f"{module}.py").write_text(source)
        metadata = tmp_path / f"{distribution.replace('-', '_')}-1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
        (metadata / "entry_points.txt").write_text(f"[confkit]\n{provider} = {module}\n")
        importlib.invalidate_caches()

    yield add
    for name in set(sys.modules) - before:
        if name.startswith("confkit_test"):
            del sys.modules[name]


WORKS = """
from confkit.provider import hookimpl
from confkit_fake import FakeProvider

@hookimpl
def confkit_create_provider(settings):
    return FakeProvider()
"""


def test_an_unknown_provider_lists_what_is_installed() -> None:
    with pytest.raises(ProviderNotFound, match=r"no provider 'acme' is installed; installed: .*fake"):
        AsyncClient("acme")


def test_an_installed_provider_is_found_by_its_name(install: Install) -> None:
    install("confkit-test-acme", "acme", WORKS)
    client = AsyncClient("acme", caller_id=OURS)
    assert client.provider_name == "acme"
    assert isinstance(client.provider, FakeProvider)


def test_two_distributions_with_one_name_are_both_named(install: Install) -> None:
    install("confkit-test-one", "acme", WORKS)
    install("confkit-test-two", "acme", WORKS)
    with pytest.raises(PluginError, match="'acme' is claimed by confkit-test-one and confkit-test-two"):
        AsyncClient("acme")


def test_a_plugin_that_was_written_for_what_is_gone_is_told_what_to_write(install: Install) -> None:
    install("confkit-test-old", "old", "from confkit.provider import Capabilities, Idempotency\n")
    with pytest.raises(PluginError, match=r"there is no Idempotency any more: list the operations: .*idempotent="):
        AsyncClient("old")


def test_a_plugin_that_does_not_import_is_named_with_its_cause(install: Install) -> None:
    install("confkit-test-broken", "broken", "import no_such_module_at_all\n")
    with pytest.raises(PluginError, match=r"'broken' \(confkit-test-broken\) does not load.*no_such_module") as raised:
        AsyncClient("broken")
    assert isinstance(raised.value.__cause__, ModuleNotFoundError)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("", "does not implement confkit_create_provider"),
        (WORKS.replace("(settings)", "(setings)"), "setings"),
        (WORKS.replace("def confkit_create_provider", "def confkit_create_providr"), "confkit_create_providr"),
    ],
)
def test_a_module_that_does_not_fit_is_refused(install: Install, source: str, words: str) -> None:
    install("confkit-test-odd", "odd", source)
    with pytest.raises(PluginError, match=words) as raised:
        AsyncClient("odd")
    assert "'odd" in str(raised.value)


class Acme:
    """The least that a provider can be."""

    name = "acme"

    @hookimpl
    def capabilities(self) -> Capabilities:
        return Capabilities()

    @hookimpl
    async def create_conference(self) -> Any: ...

    @hookimpl
    async def create_call(self) -> Any: ...

    @hookimpl
    async def end_conference(self) -> None: ...

    @hookimpl
    async def hang_up(self) -> None: ...

    @hookimpl
    async def remove_member(self) -> None: ...

    @hookimpl
    async def fetch(self) -> Any: ...


class Misspelt(Acme):
    @hookimpl
    async def creat_bridge(self) -> None: ...


class WrongArgument(Acme):
    @hookimpl
    async def send_digits(self, call: Any, digitz: str) -> None: ...


class Lacking:
    name = "acme"

    @hookimpl
    def capabilities(self) -> Capabilities:
        return Capabilities()

    @hookimpl
    async def create_call(self) -> Any: ...


def test_the_least_that_a_provider_can_be() -> None:
    assert AsyncClient(Acme()).provider_name == "acme"


@pytest.mark.parametrize(
    ("provider", "words"),
    [
        (Misspelt(), ["'acme'", "creat_bridge"]),
        (WrongArgument(), ["'acme'", "send_digits", "digitz"]),
        (Lacking(), ["'acme'", "does not implement", "create_conference", "end_conference", "hang_up", "fetch"]),
        (object(), ["'object'", "does not implement", "capabilities"]),
    ],
)
def test_a_provider_that_does_not_fit_is_refused_when_it_is_loaded(provider: object, words: list[str]) -> None:
    with pytest.raises(PluginError) as raised:
        AsyncClient(provider)
    assert all(word in str(raised.value) for word in words), str(raised.value)


def test_a_wrapper_that_does_not_fit_is_named() -> None:
    class Auditor:
        @hookimpl(wrapper=True)
        def create_cal(self) -> Any:
            return (yield)

    with pytest.raises(PluginError, match=r"'Auditor' .*create_cal"):
        AsyncClient(FakeProvider(), plugins=[Auditor()])


def test_two_observers_of_one_class_are_two() -> None:
    class Observer:
        @hookimpl
        def step_finished(self) -> None: ...

    client = AsyncClient(FakeProvider(), plugins=[Observer(), Observer(), Observer()])
    assert len(client.plugin_manager.get_plugins()) == 4


def test_a_wrapper_is_no_implementation() -> None:
    class Bridges:
        @hookimpl(wrapper=True)
        def fetch(self) -> Any:
            return (yield)

    with pytest.raises(PluginError, match=r"does not implement .*fetch"):
        AsyncClient(Lacking(), plugins=[Bridges()])


def test_settings_are_refused_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_LATENCY", "quick")
    with pytest.raises(SettingsError) as raised:
        AsyncClient("fake", shape="square", colour="red", size=3)
    assert len(raised.value.problems) == 4
    for words in ("unknown setting 'colour'", "unknown setting 'size'", "shape is malformed", "FAKE_LATENCY"):
        assert words in str(raised.value)
    assert str(raised.value).startswith("fake: ")


def test_keywords_go_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_MAX_MEMBERS", "7")
    assert AsyncClient("fake").capabilities.max_members == 7
    assert AsyncClient("fake", max_members=9).capabilities.max_members == 9


def test_settings_are_for_a_provider_given_by_name() -> None:
    with pytest.raises(PluginError, match="latency"):
        AsyncClient(FakeProvider(), latency=1)


@pytest.mark.anyio
async def test_the_caller_id_comes_from_the_environment_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_CALLER_ID", OURS)
    async with AsyncClient(FakeProvider()) as client, client.connect(ANN, BOB):
        calls = client.provider.exchange.calls.values()
        assert {call.caller_id for call in calls} == {OURS}


@pytest.mark.anyio
async def test_a_provider_without_bridges_connects_two_in_a_conference() -> None:
    provider = FakeProvider(bridge="none")
    async with AsyncClient(provider, caller_id=OURS) as client, client.connect(ANN, BOB) as meeting:
        assert meeting.mode is Mode.CONFERENCE
    assert provider.exchange.still_up() == ()
