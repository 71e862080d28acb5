"""The life of a client and of its meetings: entered once, used where they live, over when they are over."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack
from functools import partial
from typing import Any

import anyio
import anyio.to_thread
import pytest
from confkit_bandwidth.simulator import Running, Simulator
from confkit_fake import FakeProvider

from confkit import AsyncClient, Client, ConfkitError, MeetingEnded, MeetingError, MeetingState, WebhookRequest
from confkit.client.blocking import BlockingMeeting
from confkit.client.meeting import Meeting
from confkit.provider import hookimpl

OURS = "+12018994444"
ANN, BOB, CY, DI = (f"+1919555010{index}" for index in range(1, 5))
ELSEWHERE = "another event loop"
FORKED = "forked"
CLOSED = "this client is closed"


@pytest.fixture(autouse=True)
def _bounded() -> Iterator[None]:
    """Ends a test where a call hangs, whatever thread or event loop it hangs in."""

    def late(_number: int, _frame: object) -> None:
        raise AssertionError("it hangs")

    former = signal.signal(signal.SIGALRM, late)
    signal.alarm(60)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, former)


@pytest.fixture
def provider() -> FakeProvider:
    return FakeProvider()


async def use(client: AsyncClient, operation: str) -> None:
    match operation:
        case "create_conference":
            await client.direct.create_conference()
        case "create_call":
            await client.direct.create_call(ANN)
        case "connect":
            async with client.connect(ANN, BOB, CY):
                pass
        case "incoming":
            await anext(client.incoming())
        case "receive":
            request = WebhookRequest(method="POST", path="/x", headers={}, query={}, body=b"", url="/x")
            await client.receive(request)


def use_blocking(client: Client, operation: str) -> None:
    match operation:
        case "create_conference":
            client.direct.create_conference()
        case "create_call":
            client.direct.create_call(ANN)
        case "connect":
            with client.connect(ANN, BOB, CY):
                pass
        case "incoming":
            next(iter(client.incoming()))
        case "receive":
            client.receive(WebhookRequest(method="POST", path="/x", headers={}, query={}, body=b"", url="/x"))


COMMANDS: dict[str, Callable[[Meeting], Awaitable[object]]] = {
    "add": lambda meeting: meeting.add(DI),
    "remove": lambda meeting: meeting.remove(ANN),
    "mute": lambda meeting: meeting.mute(ANN),
    "say": lambda meeting: meeting.say("Hello"),
    "record": lambda meeting: meeting.record(),
    "send_digits": lambda meeting: meeting.send_digits(ANN, "1"),
}


class TestMeetings:
    """Real time, both event loops."""

    pytestmark = pytest.mark.anyio

    @pytest.mark.parametrize("when", ["after", "nested", "beside"])
    async def test_a_meeting_is_entered_once(self, when: str, provider: FakeProvider) -> None:
        async with AsyncClient(provider, caller_id=OURS) as client, client.connect(DI, "+19195550109") as other:
            meeting = client.connect(ANN, BOB, CY)
            if when == "beside":
                provider.party(ANN).answers(after=0.1)
                async with anyio.create_task_group() as tasks:
                    ready = anyio.Event()

                    async def first() -> None:
                        async with meeting:
                            await ready.wait()

                    tasks.start_soon(first)
                    await until(lambda: meeting.state is not MeetingState.PLANNED)
                    with pytest.raises(ConfkitError, match="entered once"):
                        await meeting.__aenter__()
                    await until(lambda: meeting.state is MeetingState.ESTABLISHED)
                    ready.set()
            else:
                async with meeting:
                    if when == "nested":
                        with pytest.raises(ConfkitError, match="entered once"):
                            await meeting.__aenter__()
                        assert meeting.state is MeetingState.ESTABLISHED
            with pytest.raises(ConfkitError, match="entered once"):
                await meeting.__aenter__()
            assert other.state is MeetingState.ESTABLISHED
            await other.say("Hello")
        assert provider.exchange.still_up() == ()
        assert all(len(calls) == 1 for calls in provider.exchange.rings.values())

    async def test_one_whose_parties_were_refused_may_be_tried_again(self, provider: FakeProvider) -> None:
        async with AsyncClient(provider) as client:
            meeting = client.connect(ANN, BOB, CY)
            for _ in range(2):
                with pytest.raises(ConfkitError, match="caller ID"):
                    await meeting.__aenter__()

    async def test_before_it_is_entered(self, provider: FakeProvider) -> None:
        async with AsyncClient(provider, caller_id=OURS) as client:
            meeting = client.connect(ANN, BOB, CY)
            for use_it in (
                partial(meeting.add, DI),
                partial(meeting.say, "Hello"),
                meeting.wait_until_ended,
                partial(meeting.__aexit__, None, None, None),
            ):
                with pytest.raises(MeetingError, match="enter the meeting first"):
                    await use_it()
            await meeting.__aexit__(ZeroDivisionError, ZeroDivisionError(), None)  # which matters more
        with pytest.raises(ConfkitError, match=CLOSED):
            await meeting.add(DI)
        assert provider.requests == []

    async def test_it_may_end_twice(self, provider: FakeProvider) -> None:
        async with AsyncClient(provider, caller_id=OURS) as client, client.connect(ANN, BOB, CY) as meeting:
            await meeting.end()
            sent = len(provider.requests)
            await meeting.end()
            assert len(provider.requests) == sent

    @pytest.mark.parametrize("command", COMMANDS)
    async def test_after_its_client_has_closed(self, command: str, provider: FakeProvider) -> None:
        async with AsyncExitStack() as stack:
            async with AsyncClient(provider, caller_id=OURS) as client:
                meeting = await stack.enter_async_context(client.connect(ANN, BOB, CY))
                events = meeting.events()
                planned = client.connect(ANN, BOB, CY)
            sent = len(provider.requests)
            if command != "remove":  # who has left stays left
                with pytest.raises(MeetingError, match=r"over|not in"):
                    await COMMANDS[command](meeting)
            await meeting.end()
            await meeting.wait_until_ended()
            assert [event async for event in events]
            assert [event async for event in meeting.events()] == []
            with pytest.raises(ConfkitError, match=CLOSED):
                await planned.__aenter__()
            assert len(provider.requests) == sent
        assert provider.exchange.still_up() == ()

    async def test_what_a_cancelled_command_is_answered_is_not_kept(self) -> None:
        provider = FakeProvider(latency=0.001)
        async with AsyncClient(provider, caller_id=OURS) as client, client.connect(ANN, BOB, CY) as meeting:
            kept = tracked(meeting)
            for _ in range(100):
                with anyio.CancelScope() as scope:
                    scope.cancel()
                    await meeting.say("Hello")
                assert scope.cancelled_caught
            await meeting.say("Goodbye")  # commands are carried out in turn, so all have been answered
            await until(lambda: [request.operation for request in provider.requests].count("play") == 101)
            assert tracked(meeting) == kept

    async def test_entered_while_the_client_closes(self) -> None:
        provider = FakeProvider()
        client = AsyncClient(provider, caller_id=OURS)

        async def late() -> None:
            await until(lambda: "hang_up" in {request.operation for request in provider.requests})
            for operation in ("connect", "create_call", "create_conference"):
                with pytest.raises(ConfkitError, match=CLOSED):
                    await use(client, operation)
            with pytest.raises(ConfkitError, match=CLOSED):
                await client.__aexit__(None, None, None)
            with pytest.raises(ConfkitError, match=CLOSED):
                await client.__aenter__()
            tried.set()

        tried = anyio.Event()
        async with anyio.create_task_group() as tasks:
            async with client:
                await client.connect(ANN, BOB, CY).__aenter__()
                provider.fail("hang_up", "slow", times=3, seconds=0.2)
                tasks.start_soon(late)
            await tried.wait()
        assert len(provider.exchange.conferences) == 1
        assert provider.exchange.still_up() == ()

    async def test_one_that_is_being_entered_ends_when_the_client_closes(self) -> None:
        provider = FakeProvider(answer_after=600)
        client = AsyncClient(provider, caller_id=OURS)
        async with anyio.create_task_group() as tasks, client:
            meeting = client.connect(ANN, BOB, CY)

            async def enter() -> None:
                with pytest.raises(MeetingEnded, match="before it was established"):
                    await meeting.__aenter__()

            tasks.start_soon(enter)
            await until(lambda: len(provider.exchange.calls) == 3)
        assert provider.exchange.still_up() == ()


async def until(true: Callable[[], bool]) -> None:
    while not true():  # noqa: ASYNC110 - what is waited for has no event
        await anyio.sleep(0.001)


def tracked(meeting: Meeting) -> int:
    """How much a meeting holds on to, besides the facts and the trace that it shows."""
    held = {name: value for name, value in vars(meeting).items() if name not in ("_roster", "_trace", "_engine")}
    return sum(len(value) for value in held.values() if isinstance(value, dict | list | set))


@pytest.fixture(scope="module")
def bandwidth() -> Iterator[Running]:
    with Simulator().in_thread() as running:
        yield running


@pytest.fixture(params=["fake", "bandwidth", "asterisk"])
def opening(request: pytest.FixtureRequest) -> Callable[[type[Any]], Any]:
    """Makes a client of each provider; nothing listens where Asterisk should be."""

    def make(kind: type[Any]) -> Any:
        match request.param:
            case "bandwidth":
                simulator: Running = request.getfixturevalue("bandwidth")
                settings = {"base_url": simulator.base_url, "user_id": simulator.user_id}
                settings |= {"token": simulator.token, "secret": simulator.secret}
            case "asterisk":
                settings = {"base_url": "http://127.0.0.1:9", "user": "u", "password": "p"}
            case _:
                settings = {}
        return kind(request.param, caller_id=OURS, **settings)

    return make


def asked(client: AsyncClient | Client) -> list[str]:
    """The operations that a provider is asked for from now on."""
    names: list[str] = []
    manager = client._wrapped.plugin_manager if isinstance(client, Client) else client.plugin_manager

    def before(name: str, *_: object) -> None:
        if name not in ("capabilities", "aclose", "events"):
            names.append(name)

    manager.add_hookcall_monitoring(before, lambda *_: None)
    return names


class TestEveryProvider:
    """The same words at once, whoever the provider is, and nobody is dialled."""

    @pytest.mark.anyio
    async def test_before_and_after_it_is_open(self, opening: Callable[[type[AsyncClient]], AsyncClient]) -> None:
        client = opening(AsyncClient)
        sent = asked(client)
        for operation in ("create_conference", "create_call", "connect", "incoming"):
            with pytest.raises(ConfkitError, match="open the client first"):
                await use(client, operation)
        with pytest.raises(ConfkitError, match="open the client first"):
            await client.__aexit__(None, None, None)
        async with client:
            with pytest.raises(ConfkitError, match="open already"):
                await client.__aenter__()
        for operation in ("create_conference", "create_call", "connect", "incoming"):
            with pytest.raises(ConfkitError, match=CLOSED):
                await use(client, operation)
        with pytest.raises(ConfkitError, match=CLOSED):
            await client.__aenter__()
        with pytest.raises(ConfkitError, match=CLOSED):
            await client.__aexit__(None, None, None)
        assert sent == []

    def test_a_blocking_one(self, opening: Callable[[type[Client]], Client]) -> None:
        client = opening(Client)
        sent, before = asked(client), threading.active_count()
        for operation in ("create_conference", "create_call", "connect", "incoming", "receive"):
            with pytest.raises(ConfkitError, match="open the client first"):
                use_blocking(client, operation)
        with pytest.raises(ConfkitError, match="open the client first"):
            client.__exit__(None, None, None)
        with client, pytest.raises(ConfkitError, match="open already"):
            client.__enter__()
        for operation in ("create_conference", "create_call", "connect", "incoming"):
            with pytest.raises(ConfkitError, match=CLOSED):
                use_blocking(client, operation)
        with pytest.raises(ConfkitError, match=CLOSED):
            client.__enter__()
        with pytest.raises(ConfkitError, match=CLOSED):
            client.__exit__(None, None, None)
        assert sent == []
        assert threading.active_count() == before

    @pytest.mark.parametrize("operation", ["create_conference", "create_call", "connect", "incoming"])
    @pytest.mark.parametrize("there", ["asyncio", "trio"])
    @pytest.mark.anyio
    async def test_in_another_event_loop(
        self, operation: str, there: str, opening: Callable[[type[AsyncClient]], AsyncClient]
    ) -> None:
        client = opening(AsyncClient)
        sent = asked(client)
        async with client:
            await anyio.to_thread.run_sync(partial(refused_there, partial(use, client, operation), there))
        assert sent == []

    @pytest.mark.parametrize("operation", ["create_conference", "create_call", "connect", "incoming"])
    @pytest.mark.anyio
    async def test_a_blocking_one_in_an_event_loop(
        self, operation: str, opening: Callable[[type[Client]], Client]
    ) -> None:
        client = opening(Client)
        sent = asked(client)
        with pytest.raises(ConfkitError, match="AsyncClient"):
            client.__enter__()
        await anyio.to_thread.run_sync(client.__enter__)
        try:
            with pytest.raises(ConfkitError, match="AsyncClient"):
                use_blocking(client, operation)
        finally:
            client.__exit__(None, None, None)  # which is better done here than not at all
        assert sent == []

    @pytest.mark.parametrize("operation", ["create_conference", "create_call", "connect", "incoming", "receive"])
    def test_a_blocking_one_in_a_forked_process(
        self, operation: str, opening: Callable[[type[Client]], Client]
    ) -> None:
        with opening(Client) as client:
            sent = asked(client)

            def child() -> None:
                use_blocking(client, operation)

            assert FORKED in said_by_a_child(child)
            assert FORKED in said_by_a_child(client.__enter__)
            assert FORKED in said_by_a_child(partial(client.__exit__, None, None, None))
            error = ZeroDivisionError("mine")
            assert said_by_a_child(partial(left_with, client, error)) == "mine"
            assert sent == []


def left_with(block: Client | BlockingMeeting, error: Exception) -> None:
    block.__exit__(type(error), error, None)
    raise error


def refused_there(work: Callable[[], Awaitable[object]], backend: str) -> None:
    async def there() -> None:
        with pytest.raises(ConfkitError, match=ELSEWHERE):
            await work()

    anyio.run(there, backend=backend)


def said_by_a_child(work: Callable[[], object]) -> str:
    """What a forked process says of its error."""
    reading, writing = os.pipe()
    if (child := os.fork()) == 0:
        signal.alarm(30)  # by which it ends, where it hangs
        words = b"no error"
        try:
            work()
        except BaseException as error:
            words = str(error).encode()
        finally:
            os.write(writing, words)
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    return said


class TestElsewhere:
    """A meeting that is up, used from where it does not live."""

    pytestmark = pytest.mark.anyio

    @pytest.mark.parametrize("there", ["asyncio", "trio"])
    async def test_in_another_event_loop(self, there: str, provider: FakeProvider) -> None:
        async with AsyncClient(provider, caller_id=OURS) as client, client.connect(ANN, BOB, CY) as meeting:
            unread, events = meeting.events(), meeting.events()
            await meeting.mute(ANN)
            told = await anext(events)
            sent = len(provider.requests)
            uses: list[Callable[[], Awaitable[object]]] = [
                *(partial(command, meeting) for command in COMMANDS.values()),
                *(meeting.end, meeting.wait_until_ended, meeting.changed),
                client.connect(ANN, BOB, CY).__aenter__,
                *(partial(each.__aexit__, None, None, None) for each in (meeting, client)),
                *(unread.__anext__, events.__anext__),
            ]
            for work in uses:
                await anyio.to_thread.run_sync(partial(refused_there, work, there))
            assert await anext(unread) is told
            with pytest.raises(ConfkitError, match=ELSEWHERE):
                await anyio.to_thread.run_sync(meeting.events)
            assert len(provider.requests) == sent
            assert meeting.state is MeetingState.ESTABLISHED
            await meeting.say("Hello")
        assert provider.exchange.still_up() == ()

    async def test_it_may_be_made_elsewhere(self, provider: FakeProvider) -> None:
        async with (
            AsyncClient(provider, caller_id=OURS) as client,
            await anyio.to_thread.run_sync(client.connect, ANN, BOB, CY) as meeting,
        ):
            assert meeting.state is MeetingState.ESTABLISHED

    async def test_an_error_on_its_way_is_not_replaced(self, provider: FakeProvider) -> None:
        error = ZeroDivisionError()
        async with AsyncClient(provider, caller_id=OURS) as client, client.connect(ANN, BOB, CY) as meeting:

            async def leave() -> None:
                await meeting.__aexit__(ZeroDivisionError, error, None)
                await client.__aexit__(ZeroDivisionError, error, None)

            await anyio.to_thread.run_sync(anyio.run, leave)
            assert meeting.state is MeetingState.ESTABLISHED

    async def test_one_that_could_not_be_opened_may_be_tried_again(self) -> None:
        provider = Broken()
        client = AsyncClient(provider, caller_id=OURS)
        provider.broken = True
        with anyio.CancelScope(), pytest.raises(ConfkitError, match="broken"):  # the scope finds what is left open
            await client.__aenter__()
        provider.broken = False
        async with client, client.connect(ANN, BOB, CY):
            pass
        assert provider.exchange.still_up() == ()

    async def test_webhooks_are_served_in_the_clients_event_loop(self, provider: FakeProvider) -> None:
        client = AsyncClient(provider, caller_id=OURS, public_url="https://app.example.com")
        path = client.incoming_url.removeprefix("https://app.example.com")
        request = WebhookRequest(method="POST", path=path, headers={}, query={}, body=b"", url=client.incoming_url)
        assert (await client.receive(request)).status == 503
        async with client:
            await anyio.to_thread.run_sync(partial(refused_there, partial(client.receive, request), "asyncio"))
        assert (await client.receive(request)).status == 503

    async def test_in_a_forked_process(self, provider: FakeProvider) -> None:
        async with AsyncClient(provider, caller_id=OURS) as client, client.connect(ANN, BOB, CY) as meeting:
            for work in (
                client.direct.create_conference,
                partial(meeting.say, "Hello"),
                meeting.end,
                partial(meeting.__aexit__, None, None, None),
                partial(client.__aexit__, None, None, None),
            ):

                def child(work: Callable[[], Awaitable[object]] = work) -> None:
                    with pytest.raises(StopIteration):
                        work().__await__().send(None)

                assert FORKED in said_by_a_child(child)
            await meeting.say("Hello")
        assert provider.exchange.still_up() == ()


def test_left_in_another_task_everything_is_ended_and_said(provider: FakeProvider) -> None:
    """Some test frameworks open and close their fixtures in tasks of their own."""
    client = AsyncClient(provider, caller_id=OURS)
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(client.__aenter__())
        meeting = client.connect(ANN, BOB, CY)
        loop.run_until_complete(meeting.__aenter__())
        with pytest.raises(ConfkitError, match="the task that has entered it"):
            loop.run_until_complete(client.__aexit__(None, None, None))
        assert meeting.state is MeetingState.ENDED
        assert provider.exchange.still_up() == ()
        assert provider.closed
    finally:
        loop.close()


class TestBlockingMeetings:
    def test_after_its_client_has_closed(self, provider: FakeProvider) -> None:
        with ExitStack() as stack:
            with Client(provider, caller_id=OURS) as client:
                meeting = stack.enter_context(client.connect(ANN, BOB, CY))
                planned = client.connect(ANN, BOB, CY)
            sent = len(provider.requests)
            with pytest.raises(MeetingEnded, match="the meeting is over"):
                meeting.say("Hello")
            meeting.end()
            meeting.wait_until_ended()
            assert list(meeting.events()) == []
            with pytest.raises(ConfkitError, match=CLOSED):
                planned.__enter__()
            with pytest.raises(ConfkitError, match=CLOSED):
                planned.say("Hello")
        assert len(provider.requests) == sent
        assert provider.exchange.still_up() == ()

    def test_in_a_forked_process(self, provider: FakeProvider) -> None:
        with Client(provider, caller_id=OURS) as client, client.connect(ANN, BOB, CY) as meeting:
            events = meeting.events()
            meeting.mute(ANN)
            next(events)
            assert FORKED in said_by_a_child(partial(meeting.say, "Hello"))
            assert FORKED in said_by_a_child(partial(next, events))
            assert FORKED in said_by_a_child(partial(meeting.__exit__, None, None, None))
            assert said_by_a_child(partial(left_with, meeting, ZeroDivisionError("mine"))) == "mine"
            assert said_by_a_child(events.close) == "no error"  # as the garbage collector does it
            assert meeting.state is MeetingState.ESTABLISHED
        assert provider.exchange.still_up() == ()

    @pytest.mark.anyio
    async def test_left_in_an_event_loop_it_ends(self, provider: FakeProvider) -> None:
        client = Client(provider, caller_id=OURS)
        await anyio.to_thread.run_sync(client.__enter__)
        meeting = await anyio.to_thread.run_sync(client.connect, ANN, BOB, CY)
        await anyio.to_thread.run_sync(meeting.__enter__)
        with pytest.raises(ConfkitError, match="AsyncClient"):
            meeting.say("Hello")
        meeting.__exit__(None, None, None)
        assert meeting.state is MeetingState.ENDED
        client.__exit__(None, None, None)
        assert provider.exchange.still_up() == ()

    def test_an_interrupt_while_it_rings_ends_it(self) -> None:
        before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
        try:
            self.interrupted()
        finally:
            signal.signal(signal.SIGINT, before)

    def interrupted(self) -> None:
        """Begin a meeting that rings for ever, and interrupt it."""
        provider = FakeProvider(answer_after=600)

        def interrupt() -> None:
            while len(provider.exchange.calls) < 3:
                threading.Event().wait(0.001)
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

        interrupting = threading.Thread(target=interrupt)
        with Client(provider, caller_id=OURS) as client:
            meeting = client.connect(ANN, BOB, CY, answer_timeout=3600)
            interrupting.start()
            with pytest.raises(KeyboardInterrupt):
                meeting.__enter__()
            meeting.wait_until_ended()  # without another word
            assert provider.exchange.still_up() == ()
        interrupting.join()

    def test_from_many_threads(self, provider: FakeProvider) -> None:
        problems: list[BaseException] = []

        def meet(client: Client, parties: list[str]) -> None:
            try:
                with client.connect(*parties) as meeting:
                    meeting.mute(parties[0])
                    assert meeting.participant(parties[0]).mute
            except BaseException as error:
                problems.append(error)

        with Client(provider, caller_id=OURS) as client:
            threads = [
                threading.Thread(target=meet, args=(client, [f"+1919555{thread:02d}{party:02d}" for party in range(3)]))
                for thread in range(20)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert problems == []
        assert provider.exchange.still_up() == ()

    def test_of_many_threads_one_opens_it_and_one_closes_it(self, provider: FakeProvider) -> None:
        client = Client(provider, caller_id=OURS)
        assert sorted(in_threads(20, client.__enter__)) == ["done", *19 * ["this client is open already"]]
        meeting = client.connect(ANN, BOB, CY).__enter__()
        said = in_threads(20, partial(client.__exit__, None, None, None))
        assert sorted(said) == ["done", *19 * ["this client is closed: open a new one"]]
        assert meeting.state is MeetingState.ENDED
        assert provider.exchange.still_up() == ()

    def test_closed_while_others_wait_for_it(self, provider: FakeProvider) -> None:
        with Client(provider, caller_id=OURS) as client:
            up = client.connect(ANN, BOB, CY).__enter__()
            provider.party(DI).never_answers()
            ringing = client.connect(DI, "+19195550108", "+19195550109", quorum=3)
            said: list[str] = []
            works: list[Callable[[], object]] = [
                up.wait_until_ended,
                ringing.__enter__,
                partial(list, client.incoming()),
            ]
            waiting = [threading.Thread(target=said_by, args=(work, said)) for work in works]
            for thread in waiting:
                thread.start()
            while len(provider.exchange.calls) < 6:
                threading.Event().wait(0.001)
        for thread in waiting:
            thread.join()
        assert sorted(said)[:2] == ["done", "done"]
        assert "before it was established" in sorted(said)[2]
        assert provider.exchange.still_up() == ()

    def test_in_the_thread_of_its_own_event_loop(self, provider: FakeProvider) -> None:
        said: list[str] = []

        class Curious:
            @hookimpl
            def meeting_started(self) -> None:
                said_by(partial(client.direct.create_call, DI), said)
                said_by(partial(client.__exit__, None, None, None), said)

        with Client(provider, caller_id=OURS, plugins=[Curious()]) as client, client.connect(ANN, BOB, CY):
            assert len(said) == 2
            assert "an event loop runs in this thread" in said[0]
        assert len(provider.exchange.calls) == 3

    def test_one_that_could_not_be_opened_leaves_no_thread(self) -> None:
        before = threading.active_count()
        provider = Broken()
        client = Client(provider, caller_id=OURS)
        provider.broken = True
        with pytest.raises(ConfkitError, match="broken"):
            client.__enter__()
        assert threading.active_count() == before
        provider.broken = False
        with client, client.connect(ANN, BOB, CY):
            pass
        assert provider.exchange.still_up() == ()

    def test_an_iterator_that_is_dropped_late_says_nothing(self, provider: FakeProvider) -> None:
        with Client(provider, caller_id=OURS) as client, client.connect(ANN, BOB, CY) as meeting:
            events = meeting.events()
            meeting.mute(ANN)
            next(events)
        del events
        gc.collect()  # a warning is an error


class Broken(FakeProvider):
    """A plugin with a defect, which shows when the client is opened."""

    broken = False

    @hookimpl
    def capabilities(self) -> Any:
        if self.broken:
            raise ConfkitError("broken")
        return super().capabilities()


def said_by(work: Callable[[], object], said: list[str]) -> None:
    try:
        work()
        said.append("done")
    except BaseException as error:
        said.append(str(error))


def in_threads(count: int, work: Callable[[], object]) -> list[str]:
    said: list[str] = []
    threads = [threading.Thread(target=said_by, args=(work, said)) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return said
