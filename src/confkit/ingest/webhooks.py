"""The webhook receiver: what a provider reports over HTTP, verified, parsed, and handed to the meeting it is about.

Every callback URL holds an unguessable token for its meeting, which the receiver recomputes instead of storing. That
is all that a platform without signatures can offer, with basic authentication beside it; a platform that signs its
requests has its signatures checked by the provider's ``receive`` hook.

    {public_url}/{token}/{meeting id}            the conference's events
    {public_url}/{token}/{meeting id}/{leg}      those of one party's call
    {public_url}/{token}/incoming                calls to the application's numbers
    {public_url}/incoming                        the same, where the platform signs: it can be set in a portal
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from typing import Any, Final, Protocol
from urllib.parse import parse_qsl, quote, urlsplit

import anyio
from attrs import evolve

from confkit.ingest.router import INCOMING
from confkit.models.errors import SettingsError, WebhookRejected
from confkit.models.events import (
    Event,
    IncomingCall,
    Received,
    RecordingFailed,
    RecordingReady,
    WebhookReply,
    WebhookRequest,
)
from confkit.provider.settings import Secret
from confkit.steps.executor import Steps
from confkit.steps.log import logger, place

#: The longest query string and the most parameters that are read of a GET delivery; servers mostly take 8 KiB of a URL.
LARGEST_QUERY: Final = 8 * 1024
MOST_PARAMETERS: Final = 200
#: How long a body may take to come, in seconds: from the first byte to the last, however it trickles in.
BODY_TIME = 5.0

#: Only the end of the path counts, so the receiver may be mounted anywhere, and a proxy may strip what it likes.
_TAIL = re.compile(rf"/([\w-]{{22}})/({INCOMING}|m-[\w.~-]{{1,64}})(/leg-[0-9]{{1,6}})?/?\Z", re.ASCII)
_FIXED = re.compile(rf"/{INCOMING}/?\Z", re.ASCII)
_HEADERS: Final[Mapping[int, Mapping[str, str]]] = {
    401: {"www-authenticate": 'Basic realm="confkit"'},
    405: {"allow": "GET, POST"},
}

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Addresses:
    """The callback URLs of one client: made for the provider, and recognised when it calls.

    Args:
        public_url: where the receiver is mounted, as the provider reaches it.
        user: for basic authentication, together with ``password``.
        signed: what comes is proven by the platform's signature, so that the URL for calls that come in needs no token.

    Raises:
        SettingsError: the URL cannot be called, or one of the credentials is missing.
    """

    public_url = ""  # a traceback that comes out of __init__ shows the object, too

    def __init__(
        self,
        public_url: str | Secret[str | None],
        *,
        user: str | Secret[str | None] | None = None,
        password: str | Secret[str | None] | None = None,
        signed: bool = False,
    ) -> None:
        given = Secret[Any](public_url), Secret[Any](user), Secret[Any](password)
        del public_url, user, password
        if problems := _problems_with(*given):
            raise SettingsError("confkit", problems)
        url, *login = (each.reveal() for each in given)
        self.public_url = url.rstrip("/")
        parts = urlsplit(self.public_url)
        within = ":".join(quote(each, safe="") for each in login) + "@" if login[0] else ""
        self._start = f"{parts.scheme}://{within}{parts.netloc}{parts.path}"
        self._basic = base64.b64encode(":".join(login).encode()) if login[0] else None
        self._signed = signed
        # New for every client: a URL from an earlier run, perhaps out of a log, opens nothing.
        self._key = secrets.token_bytes(32)

    def __repr__(self) -> str:
        return f"Addresses({self.public_url!r})"

    def below(self, root: str) -> str:
        """The URL, ending in ``/``, to which the id of a meeting or of its leg is appended."""
        return f"{self._start}/{self._token(root)}/"

    def incoming(self) -> str:
        """The URL for the provider's numbers."""
        return f"{self._start}/{INCOMING}" if self._signed else f"{self.below(INCOMING)}{INCOMING}"

    def tail_of(self, path: str) -> tuple[str, str] | None:
        """The part of a path that is ours, and the id in it; ``None`` for a path that we did not make.

        Takes as long for a wrong token as for a path that is none of ours.
        """
        if self._signed and _FIXED.search(path):
            return f"/{INCOMING}", INCOMING
        found = _TAIL.search(path)
        token, root, leg = found.groups(default="") if found else ("", "", "")
        genuine = hmac.compare_digest(token, self._token(root))
        return (f"/{token}/{root}{leg}", root + leg) if found and genuine else None

    def lets_in(self, authorization: str) -> bool:
        """Whether an ``Authorization`` header holds the credentials (RFC 7617); always, where there are none."""
        if self._basic is None:
            return True
        scheme, _, given = authorization.strip().partition(" ")
        right = hmac.compare_digest(given.strip().encode("utf-8", "replace"), self._basic)
        return right and scheme.lower() == "basic"

    def _token(self, root: str) -> str:
        # BLAKE2b takes a key by itself (RFC 7693 section 2.9), in a tenth of the time of an HMAC.
        digest = hashlib.blake2b(root.encode(), key=self._key, digest_size=16).digest()
        return base64.urlsafe_b64encode(digest).decode().rstrip("=")


class Recipient(Protocol):
    """Whom the receiver hands events to: what runs under an open client."""

    steps: Steps

    def has(self, meeting: str) -> bool:
        """Whether a meeting with this id is live."""

    def accept(self, event: Event) -> None:
        """Take an event in.

        Raises:
            Exception: an observer's; the event counts when it comes again.
        """


class Receiver:
    """The receiver of one client, and an ASGI application; serve it in the event loop that the client lives in.

    Args:
        addresses: ``None`` where no URL was given out, so that nothing is let in.
        recipient: gives whom events are handed to, or ``None`` while the client is not open.
    """

    def __init__(self, addresses: Addresses | None, recipient: Callable[[], Recipient | None]) -> None:
        self._addresses = addresses
        self._recipient = recipient

    async def receive(self, request: WebhookRequest) -> WebhookReply:
        """Verify a request, parse it, and hand its events on.

        Where the provider wants to hear in the reply what becomes of a call that comes in, it returns when that is
        decided, or when the provider's time for it is over.

        Returns:
            What to answer: 2xx, as the provider likes it; 4xx when it was refused or cannot be read, and nothing
            has changed; 500 when an observer of the application failed, so that the platform sends it again; 503
            while the client is not open.
        """
        try:
            path, flow = self._verified(request.method, request.path, request.headers.get("authorization", ""))
            if len(request.body) > WebhookRequest.LARGEST_BODY:
                raise _too_large()
            _check_query(
                max(len(request.url.partition("?")[2]), sum(map(len, (*request.query, *request.query.values()))))
            )
        except WebhookRejected as rejected:
            return _refused(rejected)
        genuine = evolve(request, path=path, url=self._called(path, request.url.partition("?")[2]))
        return await self._take(genuine, flow)

    async def _take(self, request: WebhookRequest, flow: str) -> WebhookReply:
        """Parse a verified request and hand its events on."""
        if (recipient := self._recipient()) is None:
            return WebhookReply(status=503)
        try:
            received = await _parsed(recipient.steps, evolve(request, at=recipient.steps.clock.now()))
        except WebhookRejected as rejected:
            return _refused(rejected)
        events = received.events
        if flow != INCOMING and not recipient.has(flow.partition("/")[0]):
            # The meeting is over. Calls that were hung up with it are told of afterwards, which is no news; what was
            # recorded may be ready only now.
            events = tuple(event for event in events if isinstance(event, RecordingReady | RecordingFailed))
        events = tuple(_addressed(event, flow) for event in events)
        call = next((event.call_id for event in events if isinstance(event, IncomingCall)), None)
        if call is None or received.decided_within is None:
            return received.reply if _taken_in(recipient, events) else WebhookReply(status=500)
        with recipient.steps.replies.expecting(call) as pending:
            if not _taken_in(recipient, events):
                return WebhookReply(status=500)
            return await pending.wait(received.decided_within) or received.reply

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request (ASGI 3)."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close"})
            return
        if scope["type"] != "http":
            raise RuntimeError("confkit's receiver speaks HTTP; mount it in an application that does the rest")
        try:
            method, headers = scope["method"].upper(), _headers(scope)
            # Before the body is read: a stranger's is not.
            path, flow = self._verified(method, scope["path"], headers.get("authorization", ""))
            query = scope.get("query_string", b"").decode("latin-1")
            parameters = _parameters(query)
            body = await _body(receive, headers.get("content-length", ""))
        except WebhookRejected as rejected:
            reply = _refused(rejected)
        else:
            if body is None:
                return
            url = self._called(path, query)
            request = WebhookRequest(method=method, path=path, headers=headers, query=parameters, body=body, url=url)
            reply = await self._take(request, flow)
        answer = {"content-length": str(len(reply.body)), **reply.headers}
        if reply.status == 408 and scope.get("http_version", "1.1").startswith("1"):
            answer["connection"] = "close"  # or the rest of the body would be awaited (RFC 9110 section 15.5.9)
        raw = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in answer.items()]
        await send({"type": "http.response.start", "status": reply.status, "headers": raw})
        await send({"type": "http.response.body", "body": reply.body})

    def _verified(self, method: str, path: str, authorization: str) -> tuple[str, str]:
        """The path as the provider is to see it, and the id that it is for.

        Raises:
            WebhookRejected: it is none of ours, or somebody else's.
        """
        tail = self._addresses.tail_of(path) if self._addresses is not None else None
        if self._addresses is None or tail is None:
            raise WebhookRejected("no callback has this path and token", status=404)
        if not self._addresses.lets_in(authorization):
            raise WebhookRejected("basic authentication failed", status=401)
        if method not in ("GET", "POST"):
            raise WebhookRejected("a callback is a GET or a POST", status=405)
        return tail

    def _called(self, path: str, query: str) -> str:
        """The URL as the provider is to see it: what it was given, never what a proxy makes of it."""
        public_url = self._addresses.public_url if self._addresses is not None else ""
        return f"{public_url}{path}?{query}" if query else f"{public_url}{path}"


async def _parsed(steps: Steps, request: WebhookRequest) -> Received:
    """What the provider reads in a request."""
    if "receive" not in steps.implemented:
        raise WebhookRejected(f"{steps.provider} has no webhooks", status=404)
    try:
        received: Received = await steps.hook.receive(request=request)
    except WebhookRejected:
        raise
    except Exception as error:
        # Reading has no side effects, so this request would fail for ever: it must not be sent again and again.
        logger().error("webhook_unreadable", provider=steps.provider, error=place(error))
        raise WebhookRejected("the plugin could not read it", status=400) from error
    return received


def _addressed(event: Event, flow: str) -> Event:
    """An event with the address that it came to.

    Its id counts for its meeting alone: who has one meeting's URL could else use up the ids of another's events.
    """
    if flow == INCOMING:
        # What comes over a number's URL belongs to no meeting by its address: the call that it names decides.
        return evolve(event, flow=None)
    return evolve(event, flow=flow, id=f"{flow.partition('/')[0]} {event.id}")


def _taken_in(recipient: Recipient, events: Iterable[Event]) -> bool:
    """Hand on the events of a request; they are not held up by one that fails."""
    well = True
    for event in events:
        try:
            recipient.accept(event)
        except Exception:
            logger().exception("webhook_observer_failed", flow=event.flow, type=type(event).__name__)
            well = False
    return well


def _refused(rejected: WebhookRejected) -> WebhookReply:
    status = rejected.status if 400 <= rejected.status < 500 else 400
    logger().warning("webhook_rejected", status=status, reason=str(rejected))
    return WebhookReply(status=status, headers=_HEADERS.get(status, {}))


def _too_large() -> WebhookRejected:
    return WebhookRejected(f"the body is longer than {WebhookRequest.LARGEST_BODY} bytes", status=413)


def _headers(scope: Scope) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name, value in scope["headers"]:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        headers[key] = f"{headers[key]}, {text}" if key in headers else text
    return headers


def _check_query(length: int) -> None:
    if length > LARGEST_QUERY:
        raise WebhookRejected(f"the query is longer than {LARGEST_QUERY} bytes", status=414)


def _parameters(query: str) -> dict[str, str]:
    _check_query(len(query))
    try:
        return dict(parse_qsl(query, keep_blank_values=True, max_num_fields=MOST_PARAMETERS)) if query else {}
    except ValueError as error:
        raise WebhookRejected("too many query parameters", status=400) from error


async def _body(receive: Receive, length: str) -> bytes | None:
    """The body, at most ``WebhookRequest.LARGEST_BODY`` of it; ``None`` when the caller has hung up.

    Args:
        length: as the ``Content-Length`` header announces it.
    """
    if length.isascii() and length.isdigit() and (len(length) > 9 or int(length) > WebhookRequest.LARGEST_BODY):
        raise _too_large()
    with anyio.move_on_after(BODY_TIME):
        return await _read(receive)
    raise WebhookRejected(f"the body was not there after {BODY_TIME:g} s", status=408)


async def _read(receive: Receive) -> bytes | None:
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        chunk = message.get("body", b"")
        if len(body) + len(chunk) > WebhookRequest.LARGEST_BODY:
            raise _too_large()
        body += chunk
        if not message.get("more_body", False):
            return bytes(body)


def _problems_with(url: Secret[Any], user: Secret[Any], password: Secret[Any]) -> list[str]:
    problems = []
    try:
        # Before it is parsed, which could take a part of a password for the path.
        if "@" in url.reveal():
            problems.append("public_url has no '@'; credentials are webhook_user and webhook_password")
        else:
            parts = Secret(urlsplit(url.reveal()))
            callable_ = parts.reveal().scheme in ("http", "https") and bool(parts.reveal().hostname)
            callable_ = (
                callable_ and parts.reveal().port != 0 and url.reveal().isprintable() and " " not in url.reveal()
            )
            if not callable_:
                raise ValueError
            if parts.reveal().query or parts.reveal().fragment:
                problems.append("public_url has no query or fragment")
    except (ValueError, TypeError, AttributeError):
        problems.append("public_url is where the provider reaches the receiver: https://host/path")
    if (user.reveal() is None) != (password.reveal() is None):
        problems.append("webhook_user and webhook_password go together")
    if user.reveal() is not None and (not user.reveal() or ":" in user.reveal()):
        problems.append("webhook_user is not empty and has no colon (RFC 7617)")
    if not (user.reveal() or "").isprintable() or not (password.reveal() or "").isprintable():
        problems.append("webhook_user and webhook_password have no control characters (RFC 7617)")
    return problems
