"""Asking the provider what is so: often where nothing else tells, now and then where something might have been lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import anyio

from confkit.ingest.delivery import Delivery
from confkit.ingest.meeting_view import MeetingView
from confkit.models.capabilities import ConferenceCreation
from confkit.models.errors import ProviderError
from confkit.models.records import Bridge, Conference, JoinMethod, Snapshot
from confkit.steps.clock import Clock
from confkit.steps.executor import Steps
from confkit.steps.log import logger

if TYPE_CHECKING:
    # It loads what else no program needs.
    from anyio.abc import TaskGroup

#: How long the first poll waits until everyone has been dialled, and the pause after it, in seconds. The pause doubles
#: up to the provider's ``poll_interval``; all starts over when somebody else is dialled.
FIRST_POLL: Final = 0.03
#: How often a meeting is looked at in which nobody is on the way in, in seconds.
STEADY_POLL: Final = 2.0
#: Every so many of those looks asks for the members too: who leaves a conference need not hang up.
MEMBERS_EVERY: Final = 5
#: Where webhooks or a stream tell what happens, polling only heals what they lost: how often a meeting is looked at
#: while somebody is on the way in, in seconds; and how many of those turns make one while nobody is.
SAFETY_POLL: Final = 10.0
STEADY_TURNS: Final = 3
#: How many meetings are looked at for safety at a time: thousands at once would keep everybody from what is urgent.
SAFETY_LIMIT: Final = 8


class Poller:
    """Looks at the meetings of a client.

    Args:
        tasks: owns the looks.
    """

    def __init__(self, steps: Steps, delivery: Delivery, clock: Clock, tasks: TaskGroup) -> None:
        self._steps = steps
        self._delivery = delivery
        self._clock = clock
        self._tasks = tasks
        self._limit = anyio.Semaphore(SAFETY_LIMIT)
        #: When a meeting is looked at for safety, and which turn that is: in this order, since all wait equally long.
        self._due: dict[str, tuple[float, int]] = {}
        self._is_due: anyio.Event | None = None
        #: Those looks that are under way, by the meeting's id.
        self._looks: dict[str, anyio.CancelScope] = {}
        self._log = logger()
        tasks.start_soon(self._safety_net, name="confkit safety net")

    def follow(self, view: MeetingView) -> None:
        """Look at a meeting until it is gone: nothing else tells what happens in it."""
        self._tasks.start_soon(self._poll, view, name=f"confkit {view.id} poll")

    def guard(self, view: MeetingView) -> None:
        """Look at a meeting now and then until it is gone, in case an event was lost."""
        self._schedule(view, turn=1)

    def forget(self, meeting: str) -> None:
        """A meeting is gone."""
        self._due.pop(meeting, None)
        if (look := self._looks.get(meeting)) is not None:
            look.cancel()

    async def look_at_all(self) -> None:
        """Look at every meeting, one after the other: something may have been missed in all of them."""
        for view in list(self._views.values()):
            await self._look(view, members=True)

    @property
    def _views(self) -> dict[str, MeetingView]:
        return self._delivery.views

    async def _poll(self, view: MeetingView) -> None:
        """Look at a meeting's calls, often while somebody is being rung, seldom while all is quiet."""
        pause, looks, known, fresh = FIRST_POLL, 0, 0, False
        looked = anyio.current_time()
        while view.id in self._views:
            roster = view.roster
            if roster.under_way > known:  # somebody is new
                pause, fresh, looked = FIRST_POLL, True, anyio.current_time()
            known = roster.under_way
            if not self._can_be_looked_at(view):
                await view.changed()
                looked = anyio.current_time()
                continue
            if roster.dialling or not fresh:  # when the last one has been dialled, a look tells of all
                # Who has answered and is being added is not asked about: the reply tells, unless it only promises.
                adding = self._steps.capabilities.join_method is JoinMethod.EXPLICIT and not (roster.ringing or fresh)
                steady = roster.settled or (adding and not roster.promised)
                with anyio.CancelScope(deadline=looked + (STEADY_POLL if steady else pause)):
                    await view.changed()
                    continue
            pause = FIRST_POLL if fresh else min(pause * 2, self._steps.capabilities.poll_interval.total_seconds())
            fresh = False
            looks += 1
            await self._look(view, members=roster.promised or (roster.settled and looks % MEMBERS_EVERY == 0))
            looked = anyio.current_time()

    def _can_be_looked_at(self, view: MeetingView) -> bool:
        """Whether there is anything to ask about: a call, or a room whose calls the provider can list.

        In a room they are asked about while they are being dialled: the request goes beside the dials, and what it
        tells waits for the replies that name the calls.
        """
        listed = self._room_of(view) is not None and "list_calls" in self._steps.implemented
        return listed or view.roster.calls > 0

    def _room_of(self, view: MeetingView) -> Conference | Bridge | None:
        """The room, if the provider can be asked about it: by its id, or where it is a name by that."""
        by_name = self._steps.capabilities.creation is ConferenceCreation.BY_NAME
        return view.room if view.room is not None and (view.room.id is not None or by_name) else None

    async def _safety_net(self) -> None:
        """Look at each meeting now and then, in case an event was lost; nothing that happens wakes it."""
        async with anyio.create_task_group() as looks:
            while True:
                while not self._due:
                    self._is_due = anyio.Event()
                    await self._is_due.wait()
                meeting_id, (due, turn) = next(iter(self._due.items()))
                await anyio.sleep_until(due)
                if self._due.pop(meeting_id, None) is None:  # it is over
                    continue
                view = self._views[meeting_id]
                if view.roster.calls and not (view.roster.settled and turn % STEADY_TURNS):
                    looks.start_soon(self._look_for_safety, view, turn, name=f"confkit {meeting_id} look")
                else:
                    self._schedule(view, turn + 1)

    def _schedule(self, view: MeetingView, turn: int) -> None:
        self._due[view.id] = (anyio.current_time() + SAFETY_POLL, turn)
        if self._is_due is not None:
            self._is_due.set()
            self._is_due = None

    async def _look_for_safety(self, view: MeetingView, turn: int) -> None:
        if view.id not in self._views:  # it is over already
            return
        with anyio.CancelScope() as self._looks[view.id]:
            async with self._limit:
                await self._look(view, members=view.roster.settled)
        del self._looks[view.id]
        if view.id in self._views:
            self._schedule(view, turn + 1)

    async def _look(self, view: MeetingView, *, members: bool) -> None:
        """Ask the provider once for all legs where it can tell them at once; for the others one by one."""
        asked_about = [person for person in view.participants if person.call_id and person.ended_at is None]
        asked_at = self._clock.now()
        try:
            listed: set[str] = set()
            if (room := self._room_of(view)) is not None:
                fused = self._steps.capabilities.join_method is JoinMethod.FUSED
                if members or fused or "list_calls" not in self._steps.implemented:
                    snapshot = await self._steps.read("fetch", meeting=view.id, ref=room)
                    self._delivery.take_in(view, snapshot, asked_at)
                    listed = {call.id for call in snapshot.calls}
                else:
                    listed = await self._list(view, room)
            for person in asked_about:
                # Without a room to ask about, or dialled before there was one: each for itself.
                if person.call_id not in listed:
                    told = await self._steps.read("fetch", meeting=view.id, ref=view.call_of(person))
                    self._delivery.take_in(view, told, asked_at)
        except ProviderError as error:
            self._log.warning("poll_failed", meeting=view.id, provider=error.provider, error=str(error))

    async def _list(self, view: MeetingView, room: Conference | Bridge) -> set[str]:
        """Look at the calls of a room, without its members; gives their ids."""
        asked_at = self._clock.now()
        calls = await self._steps.read("list_calls", meeting=view.id, into=room)
        # A list may not say why nobody answered (Bandwidth's does not); the call itself may. It is asked once it is
        # known whose it is: the list may tell of it before the reply to the dial.
        unexplained = [call for call in calls if view.lacks_the_cause_of(call)]
        for call in unexplained:
            if view.roster.has(call.id):
                told = await self._steps.read("fetch", meeting=view.id, ref=view.recalled(call))
                self._delivery.take_in(view, told, asked_at)
        others = Snapshot(calls=tuple(call for call in calls if call not in unexplained))
        self._delivery.take_in(view, others, asked_at)
        return {call.id for call in calls}
