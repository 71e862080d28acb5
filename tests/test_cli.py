"""The command line, inside this process: what it prints where, and how it ends."""

from __future__ import annotations

import json
import re
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from attrs import frozen
from confkit_bandwidth.simulator import Fault, Running, Simulator, SimulatorOptions

from confkit.cli.app import run

CALLER = "+12018994444"
WHOLE_NUMBER = re.compile(r"\+\d{8,}")


@frozen
class Ran:
    """What a run of the command line left."""

    status: int
    out: str
    err: str

    @property
    def report(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.out)
        return found

    @property
    def lines(self) -> list[str]:
        """The lines on stderr."""
        return self.err.splitlines()


Cli = Callable[..., Ran]


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Cli]:
    """Run the command line, as on a machine where nothing is configured and nothing is a terminal."""
    for name in ("BANDWIDTH_USER_ID", "BANDWIDTH_API_TOKEN", "BANDWIDTH_API_SECRET", "FAKE_CALLER_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "100")

    def call(*arguments: str) -> Ran:
        status = run(arguments)
        captured = capsys.readouterr()
        return Ran(status, captured.out, captured.err)

    yield call
    structlog.reset_defaults()


def people(number: int) -> list[str]:
    return [f"+191955501{index:02}" for index in range(number)]


def through(running: Running, **settings: str) -> list[str]:
    """Connect through a simulator."""
    values = {
        "base_url": running.base_url,
        "user_id": running.user_id,
        "token": running.token,
        "secret": running.secret,
        "limits": "off",
        **settings,
    }
    given = [f"--set={name}={value}" for name, value in values.items()]
    return ["connect", "--provider", "bandwidth", "--from", CALLER, *given]


def free_port() -> int:
    """A port that was free a moment ago: both ends of --listen and --public-url have to be told the same."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def operations(report: dict[str, Any]) -> list[str]:
    return [step["operation"] for step in report["steps"]]


def test_two_are_bridged(cli: Cli) -> None:
    ran = cli("connect", "--provider", "fake", "--from", CALLER, *people(2), "--json")
    assert ran.status == 0
    assert ran.report["mode"] == "bridge"
    assert ran.report["bridge"]
    assert "conference" not in ran.report
    assert operations(ran.report) == ["create_call", "create_call", "create_bridge"]
    assert not ran.err


def test_two_that_may_grow_make_a_conference(cli: Cli) -> None:
    ran = cli("connect", "--provider", "fake", "--from", CALLER, "--expandable", *people(2), "--json")
    assert (ran.status, ran.report["mode"]) == (0, "conference")


def test_three_make_a_conference(cli: Cli) -> None:
    ran = cli("connect", "--provider", "fake", "--from", CALLER, *people(3), "--json")
    assert ran.status == 0
    assert ran.report["mode"] == "conference"
    assert [person["party"] for person in ran.report["participants"]] == people(3)
    assert {person["state"] for person in ran.report["participants"]} == {"joined"}
    assert all(person["call"] and person["member"] for person in ran.report["participants"])
    assert operations(ran.report) == ["create_conference"] + 3 * ["create_call"] + 3 * ["add_member"]
    assert {step["outcome"] for step in ran.report["steps"]} == {"done"}
    assert "error" not in ran.report


@pytest.mark.parametrize("as_json", [False, True])
def test_too_many_are_refused_before_anything_is_sent(cli: Cli, as_json: bool) -> None:
    ran = cli("connect", "--provider", "fake", "--from", CALLER, *people(21), *["--json"][: int(as_json)])
    assert ran.status == 2
    assert ran.lines == ["confkit: 21 parties are more than the policy's maximum of 20"]
    if as_json:
        assert ran.report["steps"] == []
        assert ran.report["error"]["type"] == "PolicyError"
    else:
        assert not ran.out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--provider", "nobody", "--from", CALLER, "+19195550101"], r"installed: .*bandwidth, fake"),
        (["--provider", "fake", "--from", CALLER, "9195550101"], r"91•••0101 has no country code"),
        (["--provider", "fake", "+19195550101"], r"caller ID is missing.*--from, or in FAKE_CALLER_ID"),
        (["--provider", "fake", "--from", "bob", "+19195550101"], r"caller ID must be an E\.164 number"),
        (["--provider", "fake", "--from", CALLER, "+19195550101", "--quorum", "5"], r"quorum of 5"),
        (
            ["--provider", "fake", "--set", "colour=red", "--from", CALLER, "+19195550101"],
            r"unknown setting 'colour'",
        ),
        (["--provider", "fake", "--set", "shape=odd", "--from", CALLER, "+19195550101"], r"shape is malformed"),
        (["--provider", "fake", "--set", "policy=none", "--from", CALLER, "+19195550101"], r"policy is no setting"),
        (["--provider", "fake", "--set", "hunter2", "--from", CALLER, "+19195550101"], r"--set takes KEY=VALUE$"),
        (
            ["--provider", "bandwidth", "--from", CALLER, "+19195550101"],
            r"set BANDWIDTH_USER_ID.*BANDWIDTH_API_SECRET",
        ),
        (["--provider", "fake", "--answer-timeout", "nan", "--from", CALLER, "+19195550101"], r"less than a day"),
        (["--provider", "fake", "--answer-timeout", "0", "--from", CALLER, "+19195550101"], r"answer timeout"),
        (["--provider", "fake", "--mermaid", "/nowhere/at/all", "--from", CALLER, "+19195550101"], r"cannot write"),
        (["--provider", "fake", "--listen", "127.0.0.1:0", "--from", CALLER, "+19195550101"], r"for a --public-url"),
        (
            ["--provider", "fake", "--public-url", "http://127.0.0.1:1", "--listen", "here", "+19195550101"],
            r"--listen takes HOST:PORT",
        ),
        (
            ["--provider", "fake", "--public-url", "http://127.0.0.1:1", "--listen", "192.0.2.1:9", "+19195550101"],
            r"cannot listen on 192\.0\.2\.1:9: ",
        ),
        (
            ["--provider", "fake", "--public-url", "http://127.0.0.1:1", "--listen", "127.0.0.1:0", "+19195550101"],
            r"fake: it sends no webhooks",
        ),
        (
            ["--provider", "fake", "--set", "public_url=http://127.0.0.1:1", "+19195550101"],
            r"public_url is no setting of a provider: use --public-url",
        ),
        (["--provider", "fake"], r"PARTY"),
        (["--colour", "red"], r"--colour"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(cli: Cli, arguments: list[str], says: str) -> None:
    ran = cli("connect", *arguments)
    assert ran.status == 2
    assert len(ran.lines) == 1
    assert ran.err.startswith("confkit: ")
    assert re.search(says, ran.lines[0])
    assert not ran.out
    assert not WHOLE_NUMBER.search(ran.err)


def test_the_caller_id_may_come_from_the_environment(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_CALLER_ID", CALLER)
    assert cli("connect", "--provider", "fake", *people(3), "--json").status == 0


def test_a_missed_quorum_shows_everybodys_outcome(cli: Cli, tmp_path: Path) -> None:
    chart = tmp_path / "sequence.mmd"
    ran = cli(
        *("connect", "--provider", "fake", "--from", CALLER, *people(3)),
        *("--set", "answer_after=100", "--answer-timeout", "0.05", "--mermaid", str(chart)),
    )
    assert ran.status == 1
    # Once two have not answered a meeting is out of reach, and whoever still rings at that moment is called off.
    outcomes = re.findall(r"ended +(no answer|cancelled) ", ran.out)
    assert len(outcomes) == 3
    assert outcomes.count("no answer") >= 2
    assert ran.lines[-1].startswith("confkit: fewer than 2 joined")
    assert not WHOLE_NUMBER.search(ran.out + ran.err)
    assert chart.read_text().startswith("sequenceDiagram")


def test_it_stays_until_everyone_has_left(cli: Cli) -> None:
    with Simulator().in_thread() as running:
        for address in people(3):
            running.party(address).answers(0.1).hangs_up(0.5)
        ran = cli(*through(running), *people(3))
    assert ran.status == 0
    assert ran.out.count("left") == 3
    assert "meeting ended" in ran.out
    assert "conference established: 3 of 3 joined" in ran.err


@pytest.mark.parametrize(
    ("fault", "settings", "says"),
    [
        (None, {"secret": "wrong"}, "HTTP 401"),
        ("create_conference=garbled:9", {}, "create_conference"),
        (None, {"base_url": "http://127.0.0.1:1"}, "cannot connect"),
    ],
)
def test_a_provider_that_fails_is_one_line_and_leaves_nothing(
    cli: Cli, fault: str | None, settings: dict[str, str], says: str
) -> None:
    faults = (Fault.parse(fault),) if fault else ()
    with Simulator(SimulatorOptions(faults=faults)).in_thread() as running:
        ran = cli(*through(running, **settings), *people(3), "--json")
        state = running.state()
    assert ran.status == 1
    assert len(ran.lines) == 1
    assert says in ran.lines[0]
    assert says in ran.report["error"]["message"]
    assert running.secret not in ran.out + ran.err
    # A conference whose id was lost cannot be ended; without a member it is nothing but a record.
    assert not state["calls"]
    assert all(each["state"] in ("created", "completed") for each in state["conferences"])


def test_the_demo_shows_the_people_and_the_sequence(cli: Cli) -> None:
    ran = cli("demo", "--parties", "3")
    assert ran.status == 0
    assert "conference established: 3 of 3 joined" in ran.out
    assert "nothing is left up at the simulator" in ran.out
    arrows = [
        line.split()[2] for line in ran.out.splitlines() if "─▶" in line and "├─ " in line and "rings" not in line
    ]
    assert arrows == ["create_conference"] + 3 * ["create_call"] + 3 * ["add_member"]
    assert ran.out.count("answers") == 3
    assert max(len(line) for line in ran.out.splitlines()) <= 100
    assert not WHOLE_NUMBER.search(ran.out + ran.err)


def test_the_demo_keeps_to_the_policy(cli: Cli) -> None:
    assert cli("demo", "--parties", "2", "--json").report["mode"] == "bridge"
    assert cli("demo", "--parties", "21").status == 2


def test_the_demo_by_webhooks_asks_for_nothing(cli: Cli) -> None:
    ran = cli("demo", "--parties", "3", "--webhooks")
    assert ran.status == 0
    assert "conference established: 3 of 3 joined" in ran.out
    assert re.search(r"\n  7 steps, 0 looks, [1-9]\d* callbacks\n", ran.out)
    assert "nothing is left up at the simulator" in ran.out


def test_without_a_server_webhooks_are_refused(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    ran = cli("connect", "--provider", "bandwidth", "--public-url", "https://example.com/", *people(3))
    assert ran.status == 2
    assert ran.lines == ["confkit: receiving webhooks needs uvicorn: pip install uvicorn"]


def test_connect_is_called_back_where_it_listens(cli: Cli) -> None:
    port = free_port()
    with Simulator().in_thread() as running:
        ran = cli(
            *through(running),
            *(*people(3), "--json"),
            *("--public-url", f"http://127.0.0.1:{port}/calls", "--listen", f"127.0.0.1:{port}"),
            *("--set", "webhook_user=ann", "--set", "webhook_password=a secret"),
        )
    assert (ran.status, ran.err) == (0, "")
    assert ran.report["reads"] == {}
    assert ran.report["callbacks"] > 0
    assert {person["state"] for person in ran.report["participants"]} == {"joined"}


def test_a_plugin_brings_its_own_demo(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(
        tmp_path,
        "showy",
        """
import confkit
import confkit.provider

@confkit.provider.hookimpl
def confkit_demo(parties, as_json):
    print(f"{parties} people, {as_json}")
    return 3
""",
    )
    monkeypatch.syspath_prepend(tmp_path)
    ran = cli("demo", "--provider", "showy", "--parties", "4", "--json")
    assert (ran.status, ran.out) == (3, "4 people, True\n")
    assert "brings no demo" in cli("demo", "--provider", "fake").err
    assert "installed: " in cli("demo", "--provider", "nobody").err
    assert cli("demo", "--provider", "showy", "--webhooks").status == 2


def test_providers_show_what_they_can_do_without_an_account(cli: Cli) -> None:
    ran = cli("providers", "--json")
    assert ran.status == 0
    listed = {each["name"]: each for each in ran.report["providers"]}
    bandwidth, fake = listed["bandwidth"], listed["fake"]
    assert (bandwidth["name"], bandwidth["ready"]) == ("bandwidth", False)
    assert bandwidth["capabilities"]["max members"] == 20
    assert "BANDWIDTH_USER_ID" in bandwidth["problems"][0]
    assert (fake["name"], fake["ready"], fake["problems"]) == ("fake", True, [])

    ran = cli("providers")
    assert ran.status == 0
    assert "bandwidth" in ran.out
    assert "max members" in ran.out
    assert re.search(r"bandwidth +call creation +10 per 10 s +\n", ran.out)
    assert re.search(r"\n +bridges +1 per 1 s +\n", ran.out)


def test_a_provider_that_is_configured_shows_what_its_settings_allow(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_MAX_MEMBERS", "7")
    listed = {each["name"]: each for each in cli("providers", "--json").report["providers"]}
    assert listed["fake"]["capabilities"]["max members"] == 7


def install(folder: Path, name: str, code: str) -> None:
    """Install a distribution with one module, which is a plugin."""
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[confkit]\n{name} = {name}_plugin\n")
    (folder / f"{name}_plugin.py").write_text(code)


def test_a_provider_package_is_one_command(cli: Cli, tmp_path: Path) -> None:
    ran = cli("new-provider", "acme", "--into", str(tmp_path))
    assert (ran.status, ran.err) == (0, "")
    assert (tmp_path / "confkit-acme" / "pyproject.toml").exists()
    again = cli("new-provider", "acme", "--into", str(tmp_path))
    assert again.status == 2
    assert re.search(r"confkit-acme is there already", again.err)


def test_plugins_bring_their_own_commands(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(
        tmp_path,
        "acme",
        """
import confkit

@confkit.provider.hookimpl
def confkit_add_commands(app):
    @app.command()
    def wave():
        print("hello")

    @app.command()
    def demo():
        print("not this one")
""",
    )
    monkeypatch.syspath_prepend(tmp_path)
    ran = cli("wave")
    assert (ran.status, ran.out) == (0, "hello\n")
    assert "which there is already" in ran.err
    assert "simulate" in cli("bandwidth", "--help").out


def test_a_broken_plugin_breaks_nothing_but_itself(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, "broken", "import a_module_that_is_not_there")
    monkeypatch.syspath_prepend(tmp_path)
    ran = cli("--help")
    assert ran.status == 0
    assert "bandwidth" in ran.out
    assert len(ran.lines) == 1
    assert "'broken'" in ran.err
    listed = {each["name"]: each for each in cli("providers", "--json").report["providers"]}
    assert "a_module_that_is_not_there" in listed["broken"]["problems"][0]
    ran = cli("connect", "--provider", "fake", "--from", CALLER, *people(2), "--json")
    assert (ran.status, ran.err) == (0, "")


@pytest.mark.parametrize("arguments", [["providers"], ["--help"], ["--debug", "providers"]])
def test_a_plugin_that_breaks_cannot_write_where_it_likes(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    install(tmp_path, "evil", r"raise ImportError('no\x1b[2J\x9b1A\nconfkit: all is well\u202e')")
    monkeypatch.syspath_prepend(tmp_path)
    ran = cli(*arguments)
    assert ran.status == 0
    said = ran.out + ran.err
    assert "confkit: all is well" in said
    assert all(line.isprintable() for line in said.splitlines())
    assert not any(line.startswith("confkit: all is well") for line in said.splitlines())


def test_a_defect_is_one_line_too(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(
        tmp_path,
        "buggy",
        """
import confkit

@confkit.provider.hookimpl
def confkit_create_provider(settings):
    raise ZeroDivisionError("+19195550101 by zero")
""",
    )
    monkeypatch.syspath_prepend(tmp_path)
    arguments = ["connect", "--provider", "buggy", "--from", CALLER, *people(3)]
    ran = cli(*arguments)
    assert ran.status == 1
    assert ran.lines == ["confkit: internal error: ZeroDivisionError: +1919•••0101 by zero, run again with --debug"]
    assert "Traceback" in cli("--debug", *arguments).err


def test_debugging_goes_to_stderr_alone(cli: Cli) -> None:
    ran = cli("--debug", "connect", "--provider", "fake", "--from", CALLER, *people(3), "--json")
    assert ran.report["mode"] == "conference"
    assert "create_conference" in ran.err
    assert not WHOLE_NUMBER.search(ran.err)


def test_without_a_command_there_is_help(cli: Cli) -> None:
    ran = cli()
    assert ran.status == 0
    assert "connect" in ran.out
    assert re.fullmatch(r"confkit \d+\.\d+\.\d+\n", cli("--version").out)
    assert cli("dance").status == 2
