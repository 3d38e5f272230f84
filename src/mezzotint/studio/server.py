"""The studio's server: gradio's, with a page of our own and a queue of bounded length.

One job is computed at a time. Nothing is written to a disk, and nothing is fetched from anywhere.
"""

import json
import os
import socket
import threading
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any, get_args

# Before the import: gradio phones home when it is imported, unless it is told not to.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

from ..export.page import PAGE, SERVER, linked_scripts, page_html
from ..recipe.fields import RecipeError
from ..utils.assets import read_asset
from ..utils.extras import missing
from ..viz.animations import Format
from .draw import draw, film_file, opinions
from .gate import Gate
from .request import MOST_OPINIONS, longest, one_of, parse_json, parse_request
from .shelf import Shelf

QUEUE = 16
"""Jobs that wait; further ones are refused."""

JOBS = 3
"""Generate, opinions, film."""

TYPES = {".js": "text/javascript", ".css": "text/css"}
FORMATS = ("png", *get_args(Format))


def require_studio() -> None:
    """Raise ValueError, in words, if the extra ``studio`` is not installed."""
    if find_spec("gradio") is None:
        raise missing("the studio", "studio")


def check_address(host: str, port: int | None) -> None:
    """Refuse an address on which the studio cannot listen; gradio would fail later, or wait for ever.

    Args:
        host: name or IPv4 address.
        port: number; None for any.

    Raises:
        ValueError: in words, if this computer has no such address, or the port is taken.
    """
    if port is not None and not 1 <= port <= 65_535:
        raise RecipeError(f"port = {port}: it must be from 1 to 65535")
    try:
        with socket.socket() as probe:
            if os.name == "posix":  # a port is free at once when its owner has ended
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port or 0))
    except socket.gaierror:
        raise RecipeError(f"host = {host}: there is no such name or IPv4 address") from None
    except OSError as error:
        place = host if port is None else f"port {port} on {host}"
        raise RecipeError(f"{place} cannot be used: {error.strerror}") from None


def make_server(shelf: Shelf, hosts: frozenset[str] = frozenset()) -> Any:
    """The server, not yet listening.

    Args:
        shelf: the models.
        hosts: names by which the server may be addressed; none for any. With names, other sites cannot reach
            it through a visitor's browser.

    Returns:
        gradio's ``Server``.
    """
    import gradio
    from fastapi.responses import HTMLResponse, JSONResponse, Response

    class Studio(gradio.Server):  # type: ignore[misc]
        """gradio's server, which offers no other way to bound its queue."""

        def configure_app(self, blocks: Any) -> None:
            blocks._queue.max_size = QUEUE
            blocks._queue.default_concurrency_limit = 1
            blocks.api_open = False  # there is no way past the queue
            super().configure_app(blocks)

    server = Studio(title="Mezzotint", docs_url=None, redoc_url=None, openapi_url=None)
    files = ["style.css", *SERVER]
    largest = 2 * longest(shelf.offers)  # a text in JSON has some more characters than the text
    server.add_middleware(
        Gate, files=[*files, "models.json"], jobs=JOBS, largest=largest, hosts=hosts
    )
    content = page_html('<link rel="stylesheet" href="style.css">', linked_scripts(SERVER))

    @server.get("/", response_class=HTMLResponse)  # type: ignore[untyped-decorator]
    def page() -> str:
        return content

    @server.get("/models.json")  # type: ignore[untyped-decorator]
    def models() -> Any:
        return JSONResponse(about(shelf, bool(hosts)))

    for name in files:
        _serve(server, Response, name)
    _add_jobs(server, gradio, shelf)
    return server


def about(shelf: Shelf, local: bool) -> dict[str, Any]:
    """What the page must know of this server; visitors from elsewhere see no paths."""
    return {
        "models": [offer.describe(local) for offer in shelf.offers.values()],
        "formats": list(FORMATS),
        "opinions": {"most": MOST_OPINIONS},
        "about": "The models run on the computer that serves this page.",
    }


def _serve(server: Any, response: Any, name: str) -> None:
    """Serve a file of the page."""
    path = PAGE / name
    content = read_asset(path)

    @server.get(f"/{name}")  # type: ignore[untyped-decorator]
    def file() -> Any:
        return response(content, media_type=TYPES[path.suffix])


def _add_jobs(server: Any, gradio: Any, shelf: Shelf) -> None:
    """The jobs, in the order in which the page numbers them.

    Each takes one text, as the gate sees to, and gives one. A job that is cancelled loses its place before
    its step ends, so a lock keeps the next one waiting.
    """
    lock = threading.Lock()

    def guarded(answers: Iterator[dict[str, Any]]) -> Iterator[str]:
        """Answers as texts; errors as gradio shows them, without paths or tracebacks."""
        try:
            with lock:
                for answer in answers:
                    yield json.dumps(answer, allow_nan=False)
        except GeneratorExit:
            raise
        except (ValueError, OSError) as error:
            words = str(error) if isinstance(error, RecipeError) else "this model cannot be used"
            raise gradio.Error(words, print_exception=False) from None
        except BaseException as error:  # SystemExit would stop the server
            raise gradio.Error(
                "something went wrong here; try again", print_exception=True
            ) from error

    def one_at_a_time(name: str) -> Any:
        return server.api(name=name, concurrency_id="model", concurrency_limit=1)

    @one_at_a_time("generate")  # type: ignore[untyped-decorator]
    def generate(text: str) -> Iterator[str]:
        yield from guarded(_generate(text, shelf))

    @one_at_a_time("opinions")  # type: ignore[untyped-decorator]
    def judge(text: str) -> Iterator[str]:
        yield from guarded(_opinions(text, shelf))

    @one_at_a_time("film")  # type: ignore[untyped-decorator]
    def film(text: str) -> Iterator[str]:
        yield from guarded(_film(text, shelf))


def _generate(text: str, shelf: Shelf) -> Iterator[dict[str, Any]]:
    request = parse_request(text, shelf.offers)
    yield from draw(request, shelf.model(request.offer.name))


def _opinions(text: str, shelf: Shelf) -> Iterator[dict[str, Any]]:
    yield opinions(text, shelf)


def _film(text: str, shelf: Shelf) -> Iterator[dict[str, Any]]:
    request = parse_request(text, shelf.offers)
    fields = parse_json(text, shelf.offers)
    format = one_of(fields, "format", get_args(Format))
    show = one_of(fields, "show", ("x", "both"))
    yield from film_file(request, shelf.model(request.offer.name), format, show)


def launch(server: Any, host: str, port: int | None, browser: bool) -> str:
    """Begin to listen.

    Args:
        server: of :func:`make_server`.
        host: address to listen on.
        port: number; None for the first one free from 7860 on.
        browser: whether to open the page in the user's browser.

    Returns:
        the address of the page.

    Raises:
        ValueError: if the port is taken.
    """
    os.environ["NO_PROXY"] = ",".join(
        filter(None, [os.environ.get("NO_PROXY"), "127.0.0.1", "localhost"])
    )  # gradio asks itself whether it answers
    try:
        _, address, _ = server.launch(
            server_name=host,
            server_port=port,
            share=False,
            ssr_mode=False,
            prevent_thread_lock=True,
            quiet=True,
            show_error=False,
            enable_monitoring=False,
            run_history=False,
            footer_links=[],
            pwa=False,
            mcp_server=False,
            max_file_size=1,
            inbrowser=browser,
            inline=False,
            max_threads=8,
            state_session_capacity=64,
        )
    except OSError as error:
        raise RecipeError(f"port {port} on {host} cannot be used: {error}") from None
    return str(address)
