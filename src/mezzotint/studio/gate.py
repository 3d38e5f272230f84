"""What a visitor may reach: the page, its files and the queue, for jobs of one form and bounded size."""

import json
from collections.abc import Sequence
from typing import Any

API = "/gradio_api"

SECURITY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:;"
    b" connect-src 'self'; base-uri 'none'; form-action 'none'"
)
HEADERS = [
    (b"content-security-policy", SECURITY),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
]


class Gate:
    """Middleware that lets through what the page needs and nothing else of gradio's.

    Args:
        app: the application behind it.
        files: names of the page's files.
        jobs: number of jobs that there are.
        largest: bytes of a request, at most.
        hosts: names by which the server may be addressed, without ports; none for any.
    """

    def __init__(
        self, app: Any, files: Sequence[str], jobs: int, largest: int, hosts: frozenset[str]
    ) -> None:
        self.app = app
        self.jobs = jobs
        self.largest = largest
        self.hosts = hosts
        self.allowed = {
            ("GET", "/"),
            ("HEAD", "/"),
            *(("GET", f"/{name}") for name in files),
            ("POST", f"{API}/queue/join"),
            ("GET", f"{API}/queue/data"),
            ("GET", f"{API}/startup-events"),  # gradio asks itself this when it starts
        }

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer a request, or pass it on."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})
            return
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if self.hosts and _host(scope) not in self.hosts:
            await _refuse(send, 421)
            return
        if (scope["method"], scope["path"]) not in self.allowed:
            await _refuse(send, 404)
            return
        if scope["method"] == "POST":
            body = await _body(receive, self.largest)
            if body is None:
                await _refuse(send, 413)
                return
            job = _job(body, self.jobs) if _is_json(scope) else None
            if job is None:
                await _refuse(send, 400)
                return
            receive = _again(job, receive)
        await self.app(scope, receive, _with_headers(send))


def _host(scope: Any) -> str:
    """The name that a request is addressed to, without the port."""
    name = dict(scope["headers"]).get(b"host", b"").decode("latin-1")
    return name.rsplit(":", 1)[0] if not name.endswith("]") else name


async def _body(receive: Any, largest: int) -> bytes | None:
    """The body of a request; None if it is longer than ``largest``."""
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > largest:
            return None
        if not message.get("more_body"):
            return bytes(body)


def _is_json(scope: Any) -> bool:
    """Whether a body is said to be JSON, which a form of another site cannot say."""
    kind: bytes = dict(scope["headers"]).get(b"content-type", b"")
    return kind.partition(b";")[0].strip().lower() == b"application/json"


def _job(body: bytes, jobs: int) -> bytes | None:
    """A request for a job, with nothing in it but what the page sends; None if it is no such request.

    Its argument must be a text: in anything else, gradio looks for files, fetches and stores them.
    """
    try:
        content = json.loads(body)
        (text,) = content["data"]
        number = content["fn_index"]
        session = content["session_hash"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    known = type(number) is int and 0 <= number < jobs
    if not (known and isinstance(text, str) and isinstance(session, str)):
        return None
    job = {"data": [text], "fn_index": number, "session_hash": session, "simple_format": True}
    return json.dumps(job).encode()


def _again(body: bytes, receive: Any) -> Any:
    """A source of messages that gives a body which has been read."""
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def next_message() -> Any:
        return messages.pop() if messages else await receive()

    return next_message


def _with_headers(send: Any) -> Any:
    async def send_with_headers(message: Any) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", []), *HEADERS]}
        await send(message)

    return send_with_headers


async def _refuse(send: Any, status: int) -> None:
    headers = [(b"content-type", b"text/plain")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"not here\n"})
