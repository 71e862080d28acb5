"""The wrappers around the fake provider."""

from __future__ import annotations

import io
import json

import pytest
from confkit_fake import FakeProvider
from confkit_wrappers import AuditLog, TestPhones

import confkit
import confkit.provider

pytestmark = pytest.mark.anyio
OURS = "+12018994444"
CUSTOMERS = ("+19195550101", "+19195550102", "+19195550103")
PHONES = ("+12015550101", "+12015550102", "+12015550103")


async def test_only_test_phones_ring() -> None:
    fake = FakeProvider()
    client = confkit.AsyncClient(fake, caller_id=OURS)
    TestPhones(client, PHONES)
    async with client, client.connect(*CUSTOMERS) as meeting:
        assert [person.party.address for person in meeting.participants] == list(CUSTOMERS)
    assert {phone: len(calls) for phone, calls in fake.exchange.rings.items()} == dict.fromkeys(PHONES, 1)


async def test_a_test_phone_stays_itself_and_a_party_keeps_its_phone() -> None:
    client = confkit.AsyncClient(FakeProvider(), caller_id=OURS)
    phones = TestPhones(client, PHONES)
    assert phones.phone_of(PHONES[1]) == PHONES[1]
    assert phones.phone_of(CUSTOMERS[0]) == phones.phone_of(CUSTOMERS[0]) == PHONES[0]


async def test_more_parties_than_phones() -> None:
    fake = FakeProvider()
    client = confkit.AsyncClient(fake, caller_id=OURS)
    TestPhones(client, PHONES[:1])
    async with client:
        conference = await client.direct.create_conference()
        await client.direct.create_call(CUSTOMERS[0], into=conference)
        with pytest.raises(confkit.provider.InvalidRequest, match="1 test phones, and this is one more party"):
            await client.direct.create_call(CUSTOMERS[1], into=conference)
    assert list(fake.exchange.rings) == [PHONES[0]]


async def test_a_lost_dial_is_found_at_the_test_phone() -> None:
    fake = FakeProvider()
    fake.fail("create_call", "drop-reply")
    client = confkit.AsyncClient(fake, caller_id=OURS)
    TestPhones(client, PHONES)
    async with client:
        call = (await client.direct.create_call(CUSTOMERS[0], into=await client.direct.create_conference())).call
    assert call.to == PHONES[0]
    assert len(fake.exchange.rings[PHONES[0]]) == 1


async def test_the_audit_log() -> None:
    file = io.StringIO()
    client = confkit.AsyncClient(FakeProvider(), caller_id=OURS, plugins=[AuditLog(file)])
    async with client, client.connect(*CUSTOMERS) as meeting:
        pass
    lines = [json.loads(line) for line in file.getvalue().splitlines()]
    assert [line["entry"] for line in lines if line["entry"].startswith("meeting")] == [
        "meeting_started",
        "meeting_ended",
    ]
    operations = [line["operation"] for line in lines if line["entry"] == "step"]
    assert operations.count("create_call") == 3
    assert "end_conference" in operations
    assert "CallAnswered" in [line.get("type") for line in lines]
    assert {line["meeting"] for line in lines} == {meeting.id}
    assert not any(customer in file.getvalue() for customer in CUSTOMERS)
