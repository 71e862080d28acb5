"""Plays thousands of scenarios and checks after each what must hold.

    python -m confkit.testing.simulate --seeds 10000
    python -m confkit.testing.simulate --seed 4711 -v
    python -m confkit.testing.simulate --seeds 1000 --crash-every 1

A violation is printed with its seed, the scenario, the simplest scenario that still shows it, and the trace of that.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import os
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from functools import partial

from attrs import frozen

from confkit.runtime.host import RuntimeFactory
from confkit.runtime.in_process import InProcessRuntime
from confkit.testing.invariants import Violation, summary, violations
from confkit.testing.replay import Chronicle, crashing, diverging
from confkit.testing.scenario import Scenario, draw
from confkit.testing.simpler import simpler
from confkit.testing.simulation import play
from confkit.testing.story import Story

#: How many scenarios are tried at most to make one simpler.
SHRINKING = 600


@frozen(kw_only=True)
class Verdict:
    """What one seed came to.

    Args:
        counts: what happened in the run, to be added up.
    """

    seed: int
    found: tuple[Violation, ...] = ()
    counts: Counter[str]


def check(scenario: Scenario, *, runtime: RuntimeFactory = InProcessRuntime) -> tuple[Story | None, list[Violation]]:
    """Play a scenario and check it; a run that breaks down is a violation too."""
    try:
        story = play(scenario, runtime=runtime)
    except Exception as error:
        innermost: BaseException = error
        while isinstance(innermost, BaseExceptionGroup):
            innermost = innermost.exceptions[0]
        innermost = innermost.__cause__ or innermost
        place = traceback.extract_tb(innermost.__traceback__)[-1:]
        where = "".join(f" at {frame.filename}:{frame.lineno}" for frame in place)
        return None, [Violation("it does not break down", f"{type(innermost).__name__}: {innermost}{where}")]
    return story, violations(story)


def judge(seed: int) -> Verdict:
    """Play the scenario of a seed and count what happened."""
    story, found = check(draw(seed))
    return Verdict(seed=seed, found=tuple(found), counts=_counts(story))


def judge_crashing(seed: int, *, every: int) -> Verdict:
    """``judge``, on a runtime that crashes after every so many inputs and replays its meetings."""
    chronicle = Chronicle()
    story, found = check(draw(seed), runtime=crashing(every=every, seed=seed, chronicle=chronicle))
    found += [Violation("a history that is fed again gives the same", each) for each in chronicle.divergences]
    counts = _counts(story)
    counts.update(
        crashes=chronicle.crashes,
        inputs=sum(map(len, chronicle.histories.values())),
        replayed=chronicle.replayed,
        resumed=chronicle.resumed,
        diverged=len(chronicle.divergences),
    )
    return Verdict(seed=seed, found=tuple(found), counts=counts)


def judge_histories(seed: int) -> Verdict:
    """Play the scenario of a seed, and feed what its meetings went through again, from every prefix of it."""
    chronicle = Chronicle()
    story, found = check(draw(seed), runtime=crashing(every=0, seed=seed, chronicle=chronicle))
    counts = _counts(story)
    for meeting, history in chronicle.histories.items():
        counts.update(histories=1, inputs=len(history), prefixes=len(history) + 1)
        found += [Violation("a history that is fed again gives the same", each) for each in diverging(meeting, history)]
    return Verdict(seed=seed, found=tuple(found), counts=counts)


def shrink(scenario: Scenario, invariant: str, *, limit: int = SHRINKING) -> Scenario:
    """The simplest scenario found that breaks the same invariant."""
    tried = 0
    progress = True
    while progress:
        progress = False
        for candidate in simpler(scenario):
            tried += 1
            if tried > limit:
                return scenario
            if any(each.invariant == invariant for each in check(candidate)[1]):
                scenario, progress = candidate, True
                break
    return scenario


def report(seed: int) -> str:
    """All about a seed that breaks something."""
    scenario = draw(seed)
    found = check(scenario)[1]
    lines = [*(f"seed {seed}: {each}" for each in found), str(scenario)]
    if found:
        simplest = shrink(scenario, found[0].invariant)
        lines += ["the simplest that breaks it too:", str(simplest), *_account(simplest)]
    return "\n".join(lines)


def _account(scenario: Scenario) -> Iterator[str]:
    """A run, told step by step."""
    story, found = check(scenario)
    if story is None:
        yield from map(str, found)
        return
    for attendance in story.attendances:
        yield summary(attendance)
        if attendance.meeting is None:
            continue
        records = attendance.meeting.trace.records
        for record in records:
            at = (record.started_at - records[0].started_at).total_seconds()
            party = f" {record.party}" if record.party else ""
            again = f" attempts={record.attempt}" if record.attempt > 1 else ""
            error = f": {record.error}" if record.error else ""
            yield (
                f"  {at:8.3f} +{record.duration.total_seconds():6.3f} {record.step.partition('/')[2] or 'meeting'} "
                f"{record.operation}{party} {record.outcome.value}{again}{error}"
            )
    yield "requests:"
    for request in story.provider.requests:
        yield f"  {request.at:%M:%S.%f} {request.operation} {request.op_key[-6:]} {request.outcome}" + (
            "" if request.executed else " (not executed)"
        )
    yield "the exchange:"
    for fact in story.provider.exchange.history:
        ids = (fact.call_id, fact.member_id, fact.conference_id, fact.bridge_id)
        shown = " ".join(f"{id_[:12]}" for id_ in ids if id_)
        yield f"  {fact.at:%M:%S.%f} {fact.kind.value} {shown}{f' {fact.cause.value}' if fact.cause else ''}"
    yield f"closed after {story.closed_at:g} s; up: {', '.join(story.up) or 'nothing'}"
    yield from map(str, found)


def _counts(story: Story | None) -> Counter[str]:
    if story is None:
        return Counter(runs=1)
    attendances, scenario = story.attendances, story.scenario
    mean = Counter(
        {
            "with clocks that differ": bool(scenario.skew),
            "with whole seconds": scenario.whole_seconds,
            "with lists of the living": not scenario.lists_ended,
            "with our keys in events": scenario.echoes,
            "where nothing can be looked up": not scenario.finds,
            "with news of what is not ours": bool(story.forged),
            "with false ends": bool(story.false),
            "with an error after the fact": any(fault.kind == "error-after" for fault in scenario.faults),
            f"where the first left before the second was in ({scenario.shape})": _left_alone(story),
        }
    )
    return mean + Counter(
        runs=1,
        meetings=len(story.meetings),
        established=sum(each.established for each in attendances),
        cancelled=sum(each.cancelled for each in attendances) + bool(story.scenario.client_cancelled),
        calls=len(story.provider.exchange.calls),
        requests=len(story.provider.requests),
        faulty=sum(request.outcome not in ("ok", "pending", "cancelled") for request in story.provider.requests),
        named=sum(bool(meeting.left_behind) for meeting in story.meetings),
        quiet=sum(each.quiet for each in attendances),
        up=bool(story.up),
    )


def _left_alone(story: Story) -> bool:
    """Whether somebody joined a conference and left it before anybody else was in."""
    inside: dict[str, int] = {}
    alone: set[str] = set()
    for fact in story.provider.exchange.history:
        conference = fact.conference_id or ""
        if fact.kind.value == "member_joined":
            inside[conference] = inside.get(conference, 0) + 1
        elif fact.kind.value == "member_left" and inside.get(conference) == 1 and conference not in story.foreign:
            alone.add(conference)
    return bool(alone)


def search(seeds: Sequence[int], jobs: int, judge: Callable[[int], Verdict] = judge) -> Generator[Verdict, None, None]:
    """Judge all seeds, in so many processes."""
    if jobs <= 1:
        yield from map(judge, seeds)
        return
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        yield from pool.imap_unordered(judge, seeds, chunksize=20)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; 1 if anything was violated."""
    parser = argparse.ArgumentParser(prog="python -m confkit.testing.simulate", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000, help="how many seeds to play")
    parser.add_argument("--start", type=int, default=0, help="the first of them")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="in how many processes")
    parser.add_argument("--seed", type=int, help="play this one only")
    parser.add_argument("--crash-every", type=int, metavar="N", help="crash after every N inputs, and replay")
    parser.add_argument("--prefixes", action="store_true", help="feed every history again, from every prefix of it")
    parser.add_argument("--stop-after", type=int, default=10, help="how many violating seeds are enough")
    parser.add_argument("--no-shrink", action="store_true", help="do not look for simpler scenarios")
    parser.add_argument("-v", "--verbose", action="store_true", help="tell the run step by step")
    options = parser.parse_args(arguments)
    if options.seed is not None:
        return _one(options.seed, verbose=options.verbose, shrinks=not options.no_shrink)
    began = time.perf_counter()
    totals: Counter[str] = Counter()
    bad: list[Verdict] = []
    judges: Callable[[int], Verdict] = judge_histories if options.prefixes else judge
    if options.crash_every:
        judges = partial(judge_crashing, every=options.crash_every)
    seeds = range(options.start, options.start + options.seeds)
    with contextlib.closing(search(seeds, options.jobs, judges)) as verdicts:
        for verdict in verdicts:
            totals += verdict.counts
            if verdict.found:
                bad.append(verdict)
                print(*(f"seed {verdict.seed}: {each}" for each in verdict.found), sep="\n", flush=True)
            if len(bad) >= options.stop_after:
                break
    took = time.perf_counter() - began
    print(
        f"{totals['runs']} runs in {took:.1f} s ({totals['runs'] / took:.0f} a second): {len(bad)} with violations",
        "; ".join(f"{value} {name}" for name, value in sorted(totals.items()) if name != "runs"),
        sep="\n",
    )
    for verdict in bad[:1] if not (options.no_shrink or options.crash_every or options.prefixes) else []:
        print(report(verdict.seed))
    return 1 if bad else 0


def _one(seed: int, *, verbose: bool, shrinks: bool) -> int:
    scenario = draw(seed)
    found = check(scenario)[1]
    if verbose:
        print(scenario, *_account(scenario), sep="\n")
    if found and shrinks:
        print(report(seed))
    print(f"seed {seed}: {len(found)} violations")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
