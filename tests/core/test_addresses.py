"""Addresses: what can be dialled, what is said about the rest, and how much of a number is ever shown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from confkit import Party
from confkit.addresses import canonical, is_e164, is_sip, masked, problem_with

DIALABLE = [
    "+12018994444",
    "+4930123456",
    "+999999999999999",
    "+12",
    "sip:ann@example.com",
    "sips:ann@example.com",
    "SIP:ann@example.com",
    "sip:ann@192.0.2.7:5060",
    "sip:ann@[2001:db8::7]:5061;transport=tls",
    "sip:ann:secret@example.com",
    "sip:+12018994444@gateway.example.com;user=phone",
    "sip:alice;day=tuesday@atlanta.example.com",
    "sip:ann%20lee@example.com?subject=hello&priority=urgent",
]
NOT_DIALABLE = [
    ("", "empty"),
    ("2018994444", "no country code"),
    ("(201) 899-4444", "no country code"),
    ("0301234567", "no country code"),
    ("+0123456789", "not E.164"),
    ("+1234567890123456", "not E.164"),
    ("+1", "not E.164"),
    ("+1 201 899 4444", "without spaces or punctuation"),
    ("+1-201-899-4444", "without spaces or punctuation"),
    ("tel:+12018994444", "without tel:"),
    ("TEL:+12018994444", "without tel:"),
    ("sip:example.com", "sip:user@host"),
    ("sip:@example.com", "sip:user@host"),
    ("sip:ann@", "sip:user@host"),
    ("sip:ann@exa mple.com", "sip:user@host"),
    ("sips:ann lee@example.com", "sip:user@host"),
    ("ann@example.com", "neither"),
    ("+1201899444x", "neither"),
    ("+٣٤٥٦٧٨٩", "E.164"),
    ("+12018994444\n", "E.164"),
    ("sip:" + "a" * 520 + "@example.com", "sip:user@host"),
]


@pytest.mark.parametrize("address", DIALABLE)
def test_numbers_and_sip_uris_can_be_dialled(address: str) -> None:
    assert problem_with(address) is None
    assert is_e164(address) is not is_sip(address)


@pytest.mark.parametrize(("address", "hint"), NOT_DIALABLE)
def test_what_cannot_be_dialled_is_told_why(address: str, hint: str) -> None:
    problem = problem_with(address)
    assert problem is not None
    assert hint in problem
    assert not is_e164(address)
    assert not is_sip(address)


@given(st.from_regex(r"\+[1-9][0-9]{6,14}", fullmatch=True))
def test_a_masked_number_does_not_give_the_number_away(number: str) -> None:
    shown = masked(number)
    assert number not in shown
    assert "•••" in shown
    assert sum(character.isdigit() for character in shown) < len(number) - 1


@given(st.text(max_size=30))
def test_a_problem_never_holds_a_whole_address_with_a_number(address: str) -> None:
    problem = problem_with(address)
    if problem and sum(character.isdigit() for character in address) >= 6:
        assert address not in problem


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("+19195550101", "+1919•••0101"),
        ("sip:ann@example.com", "sip:a•••@example.com"),
        ("sip:+12018994444:secret@example.com", "sip:+•••@example.com"),
        ("+12018994444@example.com", "+•••@example.com"),
        ("+4930", "+4•••"),
        ("", ""),
    ],
)
def test_masks(address: str, shown: str) -> None:
    assert masked(address) == shown


def test_a_party_shows_its_name_or_its_mask_and_never_its_number() -> None:
    assert Party("+19195550101", name="Ann").label == "Ann"
    assert Party("+19195550101").label == "+1919•••0101"
    assert "9195550101" not in repr(Party("+19195550101"))
    assert "secret" not in repr(Party("sip:ann:secret@example.com"))


def test_spellings_of_one_sip_address_are_one_party() -> None:
    assert canonical("SIP:Ann@EXAMPLE.com") == canonical("sip:Ann@example.com")
    assert canonical("sip:Ann@example.com") != canonical("sip:ann@example.com")
    assert Party("sip:ann@Example.COM").identity == Party("sip:ann@example.com", name="Ann").identity


@given(st.text(max_size=30))
def test_canonical_is_stable(address: str) -> None:
    assert canonical(canonical(address)) == canonical(address)
