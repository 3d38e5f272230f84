"""``mezzotint studio``."""

from collections.abc import Callable, Sequence
from pathlib import Path

from .modules import loading_modules


def studio(
    *models: str,
    runs: Path | None = None,
    host: str = "127.0.0.1",
    port: int | None = None,
    browser: bool = True,
    device: str | None = None,
) -> None:
    """Open a page in which to see noise become pictures, to draw, to mend and to morph.

        mezzotint studio
        mezzotint studio digits runs/mine
        mezzotint studio --runs runs --port 8000 --no-browser

    It is for this computer alone, unless another --host is said. Ctrl-C ends it. Needs the extra
    mezzotint[studio].

    Parameters
    ----------
    models
        Runs' folders, weights files or shipped models' names; all shipped ones if none is given.
    runs
        A folder of runs, each of which is offered too.
    host
        Address to listen on; 0.0.0.0 for everyone who can reach this computer.
    port
        Port to listen on; the first one free from 7860 on if not given.
    browser
        Whether to open the page in the browser.
    device
        cpu, cuda, mps, ...; the best there is if not given.
    """
    with loading_modules():
        from ..studio.server import check_address, launch, make_server, require_studio
        from ..studio.shelf import Shelf, find_offers
        from ..utils.device import pick_device

        require_studio()
        check_address(host, port)
        pick_device(device)  # raises in words
        offers = find_offers(models, runs)
        local = frozenset({"127.0.0.1", "localhost"})
        names = local if host in local else frozenset[str]()
        server = make_server(Shelf(offers, device), names)
        address = launch(server, host, port, browser)
    print(f"{address}  (Ctrl-C ends it)", flush=True)
    server.get_blocks().block_thread()


def command(tokens: Sequence[str]) -> Callable[..., None]:
    """The command."""
    return studio
