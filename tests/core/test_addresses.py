"""Addresses: what can be dialled, what is said about the rest, and how much of a number is ever shown."""

from __future__ import annotations

import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from confkit import Party
from confkit.models.addresses import canonical, is_e164, is_sip, masked, problem_with

DIALABLE = [
    "+12018994444",
    "+4930123456",
    "+999999999999999",
    "+6834000",
    "sip:ann@example.com",
    "sips:ann@example.com",
    "SIP:ann@example.com",
    "sip:ann@192.0.2.7:5060",
    "sip:ann@[2001:db8::7]:5061;transport=tls",
    "sip:ann:secret@example.com",
    "sip:+12018994444@gateway.example.com;user=phone",
    "sip:alice;day=tuesday@atlanta.example.com",
    "sip:ann%20lee@example.com?subject=hello&priority=urgent",
    "sip:ann@pbx_1.example.com",
    "sip:ann@example.com.",
    "sip:ann@localhost",
    "sip:ann@example.com:65535",
    "sip:ann@[::ffff:192.0.2.7]",
    "sip:ann@example.com;lr;newparam=5",
    "sip:;@example.com",
]
NOT_DIALABLE = [
    ("", "empty"),
    ("2018994444", "no country code"),
    ("(201) 899-4444", "no country code"),
    ("0301234567", "no country code"),
    ("+0123456789", "not E.164"),
    ("+1234567890123456", "not E.164"),
    ("+1", "7 to 15 digits"),
    ("+199", "not E.164: + and 7 to 15 digits"),
    ("+683400", "7 to 15 digits"),
    ("+", "one + and digits"),
    ("++4930123456", "one + and digits"),
    ("+49*30#123456", "one + and digits"),
    (" \n", "empty"),
    ("+49" + "0" * 100, "too long"),
    ("011 49 30 123456", "+ in its place where 011"),
    ("tel:0301234567", "no country code"),
    ("tel:0301234567", "without tel:"),
    ("+1 201 899 4444", "without spaces or punctuation"),
    ("+1-201-899-4444", "without spaces or punctuation"),
    ("tel:+12018994444", "without tel:"),
    ("TEL:+12018994444", "without tel:"),
    ("sip:example.com", "nobody is named"),
    ("sip:@example.com", "nobody is named"),
    ("sip:ann@", "sip:user@host"),
    ("sip:ann@exa mple.com", "sip:user@host"),
    ("sip:ann@example.com:0", "1 to 65535"),
    ("sip:ann@example.com:65536", "1 to 65535"),
    ("sip:ann@example.com:99999", "1 to 65535"),
    ("sip:ann@example.com:", "1 to 65535"),
    ("sip:ann@example.com:+1", "1 to 65535"),
    ("sip:ann@[::1]5060", "the host is neither"),
    ("sip:ann@a..b", "the host is neither"),
    ("sip:ann@.example.com", "the host is neither"),
    ("sip:ann@example.com..", "the host is neither"),
    ("sip:ann@-example.com", "the host is neither"),
    ("sip:ann@example-.com", "the host is neither"),
    ("sip:ann@" + "a" * 64 + ".com", "the host is neither"),
    ("sip:ann@" + "a." * 127 + "com", "the host is neither"),
    ("sip:ann@256.0.2.7", "the host is neither"),
    ("sip:ann@192.0.2", "the host is neither"),
    ("sip:ann@192.0.2.7.", "the host is neither"),
    ("sip:ann@münchen.example", "the host is neither"),
    ("sip:ann@[::::::]", "the host is neither"),
    ("sip:ann@[2001:db8::7", "the host is neither"),
    ("sip:ann@2001:db8::7", "the host is neither"),
    ("sip:ann@[192.0.2.7]", "the host is neither"),
    ("sip:ann@[fe80::1%eth0]", "the host is neither"),
    ("sip:änn@example.com", "all else as %"),
    ("sip:ann%2@example.com", "all else as %"),
    ("sip:ann%zz@example.com", "all else as %"),
    ("sip:ann@@example.com", "all else as %"),
    ("sip:ann@example.com;", "what follows a ;"),
    ("sip:ann@example.com;;lr", "what follows a ;"),
    ("sip:ann@example.com;transport=", "what follows a ;"),
    ("sip:ann@example.com;user=phone;User=ip", "each once"),
    ("sip:ann@example.com?", "what follows the ?"),
    ("sip:ann@example.com?subject", "what follows the ?"),
    ("sip:ann@example.com?=x", "what follows the ?"),
    ("sip:ann@example.com\nsip:ben@example.com", "U+000A"),
    ("sip:ann\u200b@example.com", "U+200B"),
    ("\u202asip:ann@example.com\u202c", "U+202A, U+202C"),
    ("sip:\x00\x01\x02\x03ann@example.com", "U+0000, U+0001, U+0002, …"),
    ("sips:ann lee@example.com", "sip:user@host"),
    ("ann@example.com", "begins with sip:"),
    ("mailto:ann@example.com", "begins with sip:"),
    ("+1201899444x", "digits for the letters"),
    ("+1 800 FLOWERS", "digits for the letters"),
    ("+1 202 555 O101", "digits for the letters"),
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
    assert problem.isprintable()
    assert not is_e164(address)
    assert not is_sip(address)


@pytest.mark.parametrize(
    ("written", "number", "mends"),
    [
        ("+1 201 899 4444", "+12018994444", ["without spaces or punctuation"]),
        ("+1-202-555-0101", "+12025550101", ["without spaces or punctuation"]),
        (" +12025550101 ", "+12025550101", ["without spaces or punctuation"]),
        ("+1 (202) 555.0101", "+12025550101", ["without spaces or punctuation"]),
        ("(+49) 30/123456", "+4930123456", ["without spaces or punctuation"]),
        ("+49\u00a030\u2011123456", "+4930123456", ["without spaces or punctuation"]),
        ("+49 (0)30 123456", "+4930123456", ["without (0)", "without spaces or punctuation"]),
        ("+49(0)30123456", "+4930123456", ["without (0)"]),
        ("(+44) ( 0 ) 20 7946 0958", "+442079460958", ["without (0)", "without spaces or punctuation"]),
        ("0049 30 123456", "+4930123456", ["+ in the place of 00"]),
        ("004930123456", "+4930123456", ["+ in the place of 00"]),
        ("(00) 49 30 123456", "+4930123456", ["+ in the place of 00"]),
        ("00 44 (0) 20 7946 0958", "+442079460958", ["+ in the place of 00", "without (0)"]),
        ("+0049 30 123456", "+4930123456", ["without 00"]),
        ("0011 49 30 123456", "+4930123456", ["+ in the place of 0011"]),
        ("+39 06 1234567", "+39061234567", ["without spaces or punctuation"]),
        ("tel:+12018994444", "+12018994444", ["without tel:"]),
        ("TEL:+1-201-899-4444;phone-context=example.com", "+12018994444", ["without tel:", "without spaces"]),
        ("tel:+12018994444;ext=7", "+12018994444", ["without tel:", "without the extension"]),
        ("+12018994444x123", "+12018994444", ["without the extension"]),
        ("+1 201 899 4444 ext. 12", "+12018994444", ["without the extension", "without spaces"]),
        ("+12018994444,,12#", "+12018994444", ["without the extension"]),
        ("+12018994444p12", "+12018994444", ["without the extension"]),
        ("＋４９３０１２３４５６", "+4930123456", ["the digits of a plain keyboard"]),
        ("+٤٩٣٠١٢٣٤٥٦", "+4930123456", ["the digits of a plain keyboard"]),
        ("\u202a+4930123456\u202c", "+4930123456", ["what does not show (U+202A, U+202C)"]),
        ("+4930\u200b123456", "+4930123456", ["what does not show (U+200B)"]),
        ("+4930123456\n", "+4930123456", ["what does not show (U+000A)"]),
    ],
)
def test_what_is_no_number_yet_leads_to_the_right_one(written: str, number: str, mends: list[str]) -> None:
    problem = problem_with(written)
    assert problem is not None
    assert f"write {masked(number)}, " in problem
    assert all(mend in problem for mend in mends), problem


@pytest.mark.parametrize(
    "written",
    [
        "+49 030 123456",
        "+49 (030) 123456",
        "+44-0207-946-0958",
        "0049 030 123456",
        "+39 (0)6 1234567",
        "+4930 (0) 123456",
        "+1 (0)20 555 0101",
        "+7 (0)495 123 4567",
        "+49 30 12345/67",
        "+1-800-FLOWERS",
    ],
)
def test_where_two_numbers_may_be_meant_confkit_does_not_guess(written: str) -> None:
    problem = problem_with(written)
    assert problem is not None
    assert "confkit does not guess" in problem
    assert "is not E.164: write" not in problem


@given(
    st.from_regex(r"\+(?:1[2-9]|7[1-9]|44[1-9]|49[1-9]|683[1-9])[0-9]{6,9}", fullmatch=True),
    st.lists(st.tuples(st.integers(1, 20), st.sampled_from([" ", "-", ".", "(", ")", "\u2013", "\u00a0", "\u202d"]))),
)
def test_however_a_number_is_parted_the_advice_is_that_number(number: str, marks: list[tuple[int, str]]) -> None:
    written = number
    for place, mark in marks:
        written = written[: place % len(written) + 1] + mark + written[place % len(written) + 1 :]
    assume("(0)" not in re.sub(r"[\s\u202d]", "", written))  # which may belong to the number or not
    problem = problem_with(written)
    if not marks:
        assert problem is None
    else:
        assert problem is not None
        assert f"write {masked(number)}, " in problem


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


#: The first six groups are RFC 3261's own (section 19.1.4).
ONE_PARTY = [
    [
        "sip:%61lice@atlanta.com;transport=TCP",
        "sip:alice@AtlanTa.CoM;Transport=tcp",
        "SIP:alice@atlanta.com;transport=tcp",
    ],
    ["sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5", "sip:carol@chicago.com;security=on"],
    [
        "sip:biloxi.com@x.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
        "sip:biloxi.com@x.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com",
    ],
    [
        "sip:alice@atlanta.com?subject=project%20x&priority=urgent",
        "sip:alice@atlanta.com?priority=urgent&Subject=project%20x",
    ],
    ["sip:ann@[2001:DB8:0::7]", "sip:ann@[2001:db8::7]"],
    ["sip:ann@example.com", "sip:ann@EXAMPLE.com.", "sip:%61%6e%6E@example.com"],
    ["sip:ann@example.com:5060", "sip:ann@example.com:05060"],
    ["sip:ann%3blee@example.com", "sip:ann%3Blee@example.com"],
]
TWO_PARTIES = [
    ("SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP"),
    ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"),
    ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"),
    ("sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp"),
    ("sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting"),
    ("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"),
    ("sip:bob@biloxi.com", "sip:bob@biloxi.com;user=phone"),
    ("sip:bob@biloxi.com", "sip:bob@biloxi.com;maddr=192.0.2.4"),
    ("sip:ann@example.com", "sips:ann@example.com"),
    ("sip:ann%3Blee@example.com", "sip:ann;lee@example.com"),
    ("sip:ann:secret@example.com", "sip:ann:Secret@example.com"),
    ("sip:ann@example.com?subject=a", "sip:ann@example.com?subject=A"),
]


@pytest.mark.parametrize("spellings", ONE_PARTY)
def test_spellings_of_one_sip_address_are_one_party(spellings: list[str]) -> None:
    assert all(is_sip(spelling) for spelling in spellings)
    assert len({canonical(spelling) for spelling in spellings}) == 1
    assert len({Party(spelling, name=spelling).identity for spelling in spellings}) == 1


@pytest.mark.parametrize(("one", "other"), TWO_PARTIES)
def test_sip_addresses_that_may_reach_two_are_two_parties(one: str, other: str) -> None:
    assert is_sip(one)
    assert is_sip(other)
    assert canonical(one) != canonical(other)


_USERS = st.text(alphabet="abcXYZ019-_.!~*'()&=+$,;?/", min_size=1, max_size=10)
_HOSTS = st.from_regex(r"[a-z_]([a-z0-9_-]{0,8}[a-z0-9])?(\.[a-z]{2,5}){0,2}", fullmatch=True)


@given(_USERS, _HOSTS, st.none() | st.integers(1, 65535), st.data())
def test_a_sip_uri_spelt_otherwise_is_the_same_party(
    user: str, host: str, port: int | None, data: st.DataObject
) -> None:
    end = "" if port is None else f":{port}"
    plain = f"sip:{user}@{host}{end}"
    spelt = "".join(
        f"%{ord(sign):02{data.draw(st.sampled_from('xX'))}}"
        if sign not in "&=+$,;?/" and data.draw(st.booleans())
        else sign
        for sign in user
    )
    loud = "".join(sign.upper() if data.draw(st.booleans()) else sign for sign in host)
    dot = data.draw(st.sampled_from(["", "."]))
    other = f"{data.draw(st.sampled_from(['sip', 'SIP', 'Sip']))}:{spelt}@{loud}{dot}{end}"
    assert is_sip(plain)
    assert is_sip(other)
    assert canonical(plain) == canonical(other)
    swapped = f"sip:{user.swapcase()}@{host}{end}"
    assert (canonical(plain) == canonical(swapped)) == (user == user.swapcase())


def test_what_forges_a_line_stays_in_its_line() -> None:
    assert masked("ann@example.com\r\nERROR all is lost") == "a•••@example.com ERROR all is lost"
    assert masked("\x1b[31m\u202e+19195550101") == "[3•••0101"
    assert masked("sip:ann@+1 (919) 555-0101") == "sip:a•••@+1 •••01"


@given(st.text(max_size=30))
def test_canonical_is_stable(address: str) -> None:
    assert canonical(canonical(address)) == canonical(address)
