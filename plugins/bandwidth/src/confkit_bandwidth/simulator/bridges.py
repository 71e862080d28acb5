"""``/bridges``: two calls connected without a conference."""

from __future__ import annotations

from confkit_fake.exchange import Bridge, ErrorCode, ExchangeError

from confkit.provider import BridgeState
from confkit_bandwidth.simulator import audio, render
from confkit_bandwidth.simulator.account import Account, refusal_for
from confkit_bandwidth.simulator.details import Reply
from confkit_bandwidth.simulator.fields import Fields
from confkit_bandwidth.simulator.pages import page_of


def create(account: Account, fields: Fields) -> Reply:
    """``postBridges.md``, whose sample shows the new bridge under ``/calls``; SDKs read it by its location."""
    call_ids, sound = fields.identifiers("callIds") or (), fields.flag("bridgeAudio")
    bridge = account.exchange.create_bridge(call_ids, audio=sound is not False)
    collection = "calls" if account.switches.locations == "reference" else "bridges"
    return Reply(status=201, location=account.path(collection, bridge.id))


def list_bridges(account: Account, query: Fields) -> Reply:
    """``getBridges.md``."""
    page = page_of(account, query, list(account.exchange.bridges.values()), account.path("bridges"))
    return Reply(body=[render.bridge(account, bridge) for bridge in page.items], links=page.links)


def get(account: Account, _: Fields, bridge_id: str) -> Reply:
    """``getBridgesBridgeId.md``."""
    return Reply(body=render.bridge(account, account.bridge(bridge_id)))


def _open(account: Account, bridge_id: str) -> Bridge:
    bridge = account.bridge(bridge_id)
    if bridge.state is BridgeState.ENDED:
        raise refusal_for(ExchangeError(ErrorCode.BRIDGE_OVER))
    return bridge


def update(account: Account, fields: Fields, bridge_id: str) -> Reply:
    """``postBridgesBridgeId.md``: a list of calls replaces those on the bridge, an empty one ends it."""
    bridge = _open(account, bridge_id)
    call_ids, sound = fields.identifiers("callIds"), fields.flag("bridgeAudio")
    account.exchange.update_bridge(bridge.id, call_ids=call_ids, audio=sound)
    return Reply()


def list_bridge_calls(account: Account, _: Fields, bridge_id: str) -> Reply:
    """``getBridgesBridgeIdCalls.md``."""
    calls = [account.exchange.calls[call_id] for call_id in account.bridge(bridge_id).call_ids]
    return Reply(body=[render.call(account, call) for call in calls])


def play(account: Account, fields: Fields, bridge_id: str) -> Reply:
    """``postBridgesBridgeIdAudio.md``."""
    bridge = _open(account, bridge_id)
    audio.play(account, bridge.id, audio.read(fields, loops=False))
    return Reply()
