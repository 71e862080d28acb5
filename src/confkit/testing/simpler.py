"""Simpler scenarios: what is tried to find the least that still breaks something."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from attrs import evolve

from confkit.testing.scenario import Gathering, Person, Post, Scenario

T = TypeVar("T")
Value = TypeVar("Value", Post, Gathering, Scenario)


def simpler(scenario: Scenario) -> Iterator[Scenario]:
    """Scenarios that are a little simpler than this one, the greatest simplifications first."""
    for way in _WAYS:
        yield from way(scenario)


def _fewer_gatherings(scenario: Scenario) -> Iterator[Scenario]:
    if len(scenario.gatherings) > 1:
        for fewer in _each_without(scenario.gatherings):
            yield evolve(scenario, gatherings=fewer)


def _no_mishaps(scenario: Scenario) -> Iterator[Scenario]:
    if len(scenario.faults) > 1:
        yield evolve(scenario, faults=())


def _a_simpler_gathering(scenario: Scenario) -> Iterator[Scenario]:
    for index, gathering in enumerate(scenario.gatherings):
        for way in _WAYS_OF_A_GATHERING:
            for other in way(gathering):
                yield evolve(scenario, gatherings=_with(scenario.gatherings, index, other))


def _fewer_mishaps(scenario: Scenario) -> Iterator[Scenario]:
    for index, fault in enumerate(scenario.faults):
        yield evolve(scenario, faults=_without(scenario.faults, index))
        if fault.times > 1:
            yield evolve(scenario, faults=_with(scenario.faults, index, evolve(fault, times=1)))


def _a_truer_post(scenario: Scenario) -> Iterator[Scenario]:
    for post in _plainer(scenario.post, Post(), ("foreign", "false", "lost", "breaks", "twice", "late")):
        yield evolve(scenario, post=post)


def _a_plainer_platform(scenario: Scenario) -> Iterator[Scenario]:
    names = (
        *("post", "client_cancelled", "strict", "rates", "skew", "lists_ended", "whole_seconds", "end_hangs_up"),
        *("echoes", "finds"),
        *("latency", "max_members", "maximum", "client_ids", "events", "bridge", "shape", "joins", "tells_room"),
    )
    return _plainer(scenario, Scenario(seed=scenario.seed, gatherings=()), names)


#: In this order, the greatest simplifications first.
_WAYS: tuple[Callable[[Scenario], Iterator[Scenario]], ...] = (
    _fewer_gatherings,
    _no_mishaps,
    _a_simpler_gathering,
    _fewer_mishaps,
    _a_truer_post,
    _a_plainer_platform,
)


def _no_deeds(gathering: Gathering) -> Iterator[Gathering]:
    if gathering.deeds:
        yield evolve(gathering, deeds=(), others=())


def _fewer_deeds(gathering: Gathering) -> Iterator[Gathering]:
    for fewer in _each_without(gathering.deeds):
        yield evolve(gathering, deeds=fewer)


def _half_the_people(gathering: Gathering) -> Iterator[Gathering]:
    if len(gathering.people) > 4:
        yield _with_people(gathering, gathering.people[: len(gathering.people) // 2])


def _fewer_people(gathering: Gathering) -> Iterator[Gathering]:
    for fewer in _each_without(gathering.people):
        yield _with_people(gathering, fewer)


def _no_others(gathering: Gathering) -> Iterator[Gathering]:
    if gathering.others and not any(deed.person >= len(gathering.people) for deed in gathering.deeds):
        yield evolve(gathering, others=())


def _a_plainer_person(gathering: Gathering) -> Iterator[Gathering]:
    for index, person in enumerate(gathering.people):
        plain = Person(name=person.name, address=person.address)
        if person != plain:
            yield evolve(gathering, people=_with(gathering.people, index, plain))


def _a_plainer_gathering(gathering: Gathering) -> Iterator[Gathering]:
    names = ("cancellation", "leaves", "expandable", "answer_timeout", "quorum", "starts", "stays")
    return _plainer(gathering, Gathering(people=()), names)


#: As for a scenario.
_WAYS_OF_A_GATHERING: tuple[Callable[[Gathering], Iterator[Gathering]], ...] = (
    _no_deeds,
    _fewer_deeds,
    _half_the_people,
    _fewer_people,
    _no_others,
    _a_plainer_person,
    _a_plainer_gathering,
)


def _plainer(item: Value, plain: Value, names: Iterable[str]) -> Iterator[Value]:
    """The item with one of these as in the plain one, for each in which they differ."""
    for name in names:
        if getattr(item, name) != getattr(plain, name):
            yield evolve(item, **{name: getattr(plain, name)})


def _with_people(gathering: Gathering, people: tuple[Person, ...]) -> Gathering:
    """With fewer invited, and the deeds that still have somebody to be about."""
    gone = len(gathering.people) - len(people)
    deeds = tuple(
        evolve(deed, person=deed.person - gone) if deed.person >= len(gathering.people) else deed
        for deed in gathering.deeds
        if deed.person < len(people) or deed.person >= len(gathering.people)
    )
    return evolve(gathering, people=people, deeds=deeds)


def _with(items: tuple[T, ...], index: int, item: T) -> tuple[T, ...]:
    return (*items[:index], item, *items[index + 1 :])


def _without(items: tuple[T, ...], index: int) -> tuple[T, ...]:
    return (*items[:index], *items[index + 1 :])


def _each_without(items: tuple[T, ...]) -> Iterator[tuple[T, ...]]:
    """The items with one of them left out, for each of them."""
    return (_without(items, index) for index in range(len(items)))
