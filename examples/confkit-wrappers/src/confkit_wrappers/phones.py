"""Test phones: whoever a staging system dials, one of a few phones of its own rings."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Any

from attrs import evolve

from confkit import AsyncClient
from confkit.provider import (
    Bridge,
    Call,
    CallSpec,
    Conference,
    Dialled,
    FindHint,
    InvalidRequest,
    Op,
    canonical,
    hookimpl,
)


class TestPhones:
    """Rewrites every address that is dialled to one of an allow-list.

    It stands before the provider: a wrapper would see the provider's operation, but not change its arguments.

    Args:
        client: not open yet.
        phones: the addresses that may ring.
    """

    __test__ = False  # it only sounds like one to pytest

    def __init__(self, client: AsyncClient, phones: Sequence[str]) -> None:
        self._phones = list(phones)
        self._rings: dict[str, str] = {canonical(phone): phone for phone in phones}
        self._free = list(phones)
        manager = client.plugin_manager
        operations = ("create_call", "transfer", "find")
        for name in operations:
            if not getattr(manager.hook, name).get_hookimpls():
                setattr(self, name, None)  # what the provider lacks it goes on lacking
        manager.register(self, "test phones")
        self._behind = {name: manager.subset_hook_caller(name, [self]) for name in operations}

    def phone_of(self, address: str) -> str:
        """The phone that rings for a party.

        Raises:
            InvalidRequest: there are more parties than phones.
        """
        party = canonical(address)
        if party not in self._rings:
            if not self._free:
                raise InvalidRequest(f"staging has {len(self._phones)} test phones, and this is one more party")
            self._rings[party] = self._free.pop(0)
        return self._rings[party]

    @hookimpl(tryfirst=True)
    async def create_call(self, spec: CallSpec, op: Op, into: Conference | Bridge | None) -> Dialled:
        """Dial the party's test phone."""
        call: Awaitable[Dialled] = self._behind["create_call"](
            spec=evolve(spec, to=self.phone_of(spec.to)), op=op, into=into
        )
        return await call

    @hookimpl(tryfirst=True)
    async def transfer(self, call: Call, to: str, caller_id: str, op: Op) -> Call:
        """Hand over to the party's test phone."""
        transferred: Awaitable[Call] = self._behind["transfer"](
            call=call, to=self.phone_of(to), caller_id=caller_id, op=op
        )
        return await transferred

    @hookimpl(tryfirst=True)
    async def find(self, op_key: str, hint: FindHint) -> tuple[Any, ...]:
        """Look for a call to the party's test phone."""
        looked_for = evolve(hint, to=self.phone_of(hint.to)) if hint.to else hint
        found: Awaitable[tuple[Any, ...]] = self._behind["find"](op_key=op_key, hint=looked_for)
        return await found
