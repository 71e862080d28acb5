"""Settings that are numbers, and come as text."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import define, field, frozen, make_class
from attrs.validators import ge

from confkit.models.errors import SettingsError
from confkit.provider import Settings


def _one_more(given: Any) -> int:
    return int(given.removesuffix(" a day")) + 1 if isinstance(given, str) else given


@frozen(kw_only=True)
class Given:
    """What a plugin's author writes first."""

    rate: int = field(default=5, validator=ge(1))
    share: float = 0.5
    most: int | None = None
    pause: float | None = None
    pin: int = field(default=0, repr=False)
    name: str = ""
    either: int | str = 0
    own: int = field(default=0, converter=_one_more)


def read(kind: Any = Given, /, *, keywords: Any = None, **environ: Any) -> Any:
    return Settings(provider="parrot", keywords=keywords or {}, environ=environ).read(kind)


def test_what_comes_from_the_environment_is_a_number() -> None:
    given = read(
        PARROT_RATE=" 7 ",
        PARROT_SHARE="0.25",
        PARROT_MOST="-3",
        PARROT_PAUSE="1e2",
        PARROT_NAME="5",
        PARROT_OWN="1 a day",
    )
    assert given == Given(rate=7, share=0.25, most=-3, pause=100.0, name="5", own=2)
    assert [type(each) for each in (given.rate, given.share, given.most, given.pause, given.name)] == [
        int,
        float,
        int,
        float,
        str,
    ]
    assert read(PARROT_EITHER="7").either == "7"


def test_a_type_that_is_no_text() -> None:
    either: Any = float | None
    made = make_class("made", {"rate": field(type=int), "most": field(default=None, type=either)}, frozen=True)
    given = read(made, PARROT_RATE="7", PARROT_MOST="2")
    assert (given.rate, given.most) == (7, 2.0)

    @define
    class Bare:
        rate = field(default=1)  # type: ignore[var-annotated]

    assert read(Bare, PARROT_RATE="7").rate == "7"


def test_text_in_a_keyword_is_converted_too_and_a_number_left_as_it_is() -> None:
    assert read(keywords={"rate": "7", "share": 1}) == Given(rate=7, share=1)


@pytest.mark.parametrize(
    ("environ", "says"),
    [
        ({"PARROT_RATE": "five"}, "rate is malformed ('five': it must be a whole number): check rate= or PARROT_RATE"),
        ({"PARROT_RATE": "7.5"}, "rate is malformed ('7.5': it must be a whole number): check rate= or PARROT_RATE"),
        ({"PARROT_SHARE": "half"}, "share is malformed ('half': it must be a number): check share= or PARROT_SHARE"),
        ({"PARROT_SHARE": "nan"}, "share is malformed ('nan': it must be a number): check share= or PARROT_SHARE"),
        ({"PARROT_PAUSE": "inf"}, "pause is malformed ('inf': it must be a number): check pause= or PARROT_PAUSE"),
        ({"PARROT_PIN": "hunter2"}, "pin is malformed: check pin= or PARROT_PIN"),
    ],
)
def test_what_is_no_number_is_refused_in_one_sentence(environ: dict[str, str], says: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read(**environ)
    assert caught.value.problems == (says,)


def test_the_validator_sees_the_number() -> None:
    with pytest.raises(SettingsError, match=r"rate is malformed \('0': 'rate' must be >= 1: 0\)"):
        read(PARROT_RATE="0")
