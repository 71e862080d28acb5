"""Every operation of the API in one table: which request it is, and who carries it out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from attrs import frozen

from confkit_bandwidth.simulator import bridges, calls, conferences, others
from confkit_bandwidth.simulator.details import Reply
from confkit_bandwidth.simulator.fields import Fields

Handler = Callable[..., Reply]


@frozen
class Operation:
    """One kind of request.

    Args:
        name: the operation of confkit's provider contract that it is, or how to tell from the body.
        handler: takes the account, the body's (or the query's) fields and the ids of the path.
    """

    name: str | Callable[[Fields], str]
    handler: Handler

    def named(self, fields: Fields) -> str:
        """The operation that this request is."""
        return self.name if isinstance(self.name, str) else self.name(fields)


def _by_state(names: Mapping[str, str], otherwise: str) -> Callable[[Fields], str]:
    def name(fields: Fields) -> str:
        state: Any = fields.get("state")
        return names.get(state.lower(), otherwise) if isinstance(state, str) else otherwise

    return name


def _call_update(fields: Fields) -> str:
    states = {
        "completed": "hang_up",
        "active": "answer_call",
        "rejected": "reject_call",
        "transferring": "transfer",
    }
    return _by_state(states, "record" if "recordingEnabled" in fields else "update_call")(fields)


def _bridge_update(fields: Fields) -> str:
    return "end_bridge" if fields.get("callIds") == [] else "update_bridge"


#: (method, path below the user with ``*`` for ids) → operation.
OPERATIONS: Final[Mapping[tuple[str, str], Operation]] = {
    ("POST", "conferences"): Operation("create_conference", conferences.create),
    ("GET", "conferences/*"): Operation("fetch", conferences.get),
    ("POST", "conferences/*"): Operation(
        _by_state({"completed": "end_conference"}, "update_conference"), conferences.update
    ),
    ("POST", "conferences/*/audio"): Operation("play", conferences.play),
    ("POST", "conferences/*/members"): Operation("add_member", conferences.add_member),
    ("GET", "conferences/*/members"): Operation("list_members", conferences.list_members),
    ("GET", "conferences/*/members/*"): Operation("fetch", conferences.get_member),
    ("POST", "conferences/*/members/*"): Operation(
        _by_state({"completed": "remove_member"}, "update_member"), conferences.update_member
    ),
    ("POST", "conferences/*/members/*/audio"): Operation("play", conferences.play_to_member),
    ("POST", "calls"): Operation("create_call", calls.create),
    ("GET", "calls"): Operation("list_calls", calls.list_calls),
    ("GET", "calls/*"): Operation("fetch", calls.get),
    ("POST", "calls/*"): Operation(_call_update, calls.update),
    ("POST", "calls/*/audio"): Operation("play", calls.play),
    ("POST", "calls/*/dtmf"): Operation("send_digits", calls.send_digits),
    ("GET", "calls/*/events"): Operation("list_events", calls.list_events),
    ("GET", "calls/*/events/*"): Operation("fetch", calls.get_event),
    ("GET", "calls/*/recordings"): Operation("list_recordings", calls.list_call_recordings),
    ("GET", "calls/*/transcriptions"): Operation("list_transcriptions", calls.list_no_transcriptions),
    ("POST", "calls/*/gather"): Operation("gather", calls.create_gather),
    ("GET", "calls/*/gather/*"): Operation("fetch", calls.get_gather),
    ("POST", "calls/*/gather/*"): Operation("gather", calls.stop_gather),
    ("GET", "recordings"): Operation("list_recordings", calls.list_recordings),
    ("GET", "recordings/*"): Operation("fetch", calls.get_recording),
    ("GET", "recordings/*/transcriptions"): Operation("list_transcriptions", others.list_transcriptions),
    ("GET", "recordings/*/transcriptions/*"): Operation("fetch", others.get_transcription),
    ("POST", "recordings/*/transcriptions"): Operation("transcribe", others.create_transcription),
    ("GET", "account"): Operation("fetch", others.get_account),
    ("GET", "account/transactions"): Operation("list_transactions", others.list_transactions),
    ("GET", "errors"): Operation("list_errors", others.list_errors),
    ("GET", "errors/*"): Operation("fetch", others.get_error),
    ("GET", "domains"): Operation("list_domains", others.list_domains),
    ("POST", "domains"): Operation("create_domain", others.create_domain),
    ("DELETE", "domains/*"): Operation("delete_domain", others.delete_domain),
    ("GET", "domains/*/endpoints"): Operation("list_endpoints", others.list_endpoints),
    ("POST", "bridges"): Operation("create_bridge", bridges.create),
    ("GET", "bridges"): Operation("list_bridges", bridges.list_bridges),
    ("GET", "bridges/*"): Operation("fetch", bridges.get),
    ("POST", "bridges/*"): Operation(_bridge_update, bridges.update),
    ("GET", "bridges/*/calls"): Operation("list_calls", bridges.list_bridge_calls),
    ("POST", "bridges/*/audio"): Operation("play", bridges.play),
}


def template_of(path: list[str]) -> str:
    """The path below the user with ``*`` for ids: collections and ids alternate in this API, but for one path."""
    if path == ["account", "transactions"]:
        return "account/transactions"
    return "/".join(part if index % 2 == 0 else "*" for index, part in enumerate(path))
