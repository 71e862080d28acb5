"""What SDKs ask for beside calls: ``/account``, ``/errors``, ``/domains`` and a recording's transcriptions."""

from __future__ import annotations

from typing import Any, Final

from confkit_bandwidth.simulator.account import Account, LoggedError, Transcription
from confkit_bandwidth.simulator.details import Reply
from confkit_bandwidth.simulator.fields import Fields, milliseconds, present, stamp
from confkit_bandwidth.simulator.pages import page_of
from confkit_bandwidth.simulator.refusals import invalid, no_such_resource, not_found

BALANCE: Final = "538.37250"  # the sample's; nothing is charged here
MOST_DOMAINS: Final = 100


def get_account(_: Account, __: Fields) -> Reply:
    """``getAccount.md``."""
    return Reply(body={"balance": BALANCE, "accountType": "pre-pay"})


def list_transactions(_: Account, __: Fields) -> Reply:
    """``getAccountTransactions.md``: nothing is charged here."""
    return Reply(body=[])


def list_errors(account: Account, query: Fields) -> Reply:
    """``getErrors.md``: the latest first."""
    page = page_of(account, query, list(account.errors), account.path("errors"))
    shown = [_error(error, stamp(error.at, account.switches.timestamps), error.category) for error in page.items]
    return Reply(body=shown, links=page.links)


def get_error(account: Account, _: Fields, error_id: str) -> Reply:
    """``getErrorsErrorId.md``: the time in milliseconds, the category in capitals."""
    for error in account.errors:
        if error.id == error_id:
            category = error.category.upper().replace("-", "_")
            return Reply(body=_error(error, milliseconds(error.at), category))
    raise no_such_resource()


def _error(error: LoggedError, time: object, category: str) -> dict[str, Any]:
    details = [{"id": id_, "name": name, "value": value} for id_, name, value in error.details]
    return present(
        {
            "id": error.id,
            "time": time,
            "category": category,
            "code": error.code,
            "message": error.message,
            "details": details or None,
        }
    )


def list_domains(account: Account, _: Fields) -> Reply:
    """``getDomains.md``."""
    shown = [
        {"id": domain_id, **domain, "endpoints": account.path("domains", domain_id, "endpoints")}
        for domain_id, domain in account.domains.items()
    ]
    return Reply(body=shown)


def create_domain(account: Account, fields: Fields) -> Reply:
    """``postDomains.md``."""
    for name in ("name", "description"):
        fields.require(name)
    if len(account.domains) >= MOST_DOMAINS:
        raise invalid(f"An account has at most {MOST_DOMAINS} domains")
    domain_id = account.new_id("rd-")
    account.domains[domain_id] = {name: fields.text(name) or "" for name in ("name", "description")}
    return Reply(status=201, location=account.path("domains", domain_id))


def delete_domain(account: Account, _: Fields, domain_id: str) -> Reply:
    """``deleteDomainsDomainId.md``."""
    if account.domains.pop(domain_id, None) is None:
        raise no_such_resource()
    return Reply()


def list_endpoints(account: Account, _: Fields, domain_id: str) -> Reply:
    """``getEndpoints.md``: no telephone registers here."""
    if domain_id not in account.domains:
        raise no_such_resource()
    return Reply(body=[])


def list_transcriptions(account: Account, _: Fields, recording_id: str) -> Reply:
    """``getTranscriptions.md``."""
    return Reply(body=[_transcription(account, each) for each in _of(account, recording_id)])


def get_transcription(account: Account, _: Fields, recording_id: str, transcription_id: str) -> Reply:
    """``getTranscriptionsTranscriptionId.md``."""
    for each in _of(account, recording_id):
        if each.id == transcription_id:
            return Reply(body=_transcription(account, each))
    raise no_such_resource()


def create_transcription(account: Account, _: Fields, recording_id: str) -> Reply:
    """``postTranscriptions.md``."""
    made = Transcription(account.new_id("tr-"), account.exchange.now())
    _of(account, recording_id).append(made)
    return Reply(status=201, location=account.path("recordings", recording_id, "transcriptions", made.id))


def _of(account: Account, recording_id: str) -> list[Transcription]:
    recording = account.exchange.recordings.get(recording_id)
    if recording is None or not recording.call_id:
        raise not_found("recording", recording_id)
    return account.transcriptions.setdefault(recording_id, [])


def _transcription(account: Account, each: Transcription) -> dict[str, Any]:
    return {"id": each.id, "state": "error", "time": stamp(each.at, account.switches.timestamps)}
