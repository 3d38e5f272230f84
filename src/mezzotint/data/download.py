"""Files from the net, once: from the first mirror that gives them whole, into the user's cache."""

from collections.abc import Callable, Sequence
from pathlib import Path

from ..utils.console import watched
from ..utils.files import whole_file

TIMEOUT = (10, 30)
"""Seconds to connect, and seconds without a byte, before the next mirror is tried."""


def fetch(
    path: Path,
    urls: Sequence[str],
    check: Callable[[Path], None],
    timeout: tuple[float, float] = TIMEOUT,
) -> Path:
    """``path``, fetched from one of ``urls`` unless it is there already and whole.

    ``check(path)`` raises ValueError where a file is not what it should be; such a file is fetched
    again, and never left in place. Raises FileNotFoundError, saying what each mirror answered,
    where none has it.
    """
    if path.is_file():
        try:
            check(path)
            return path
        except ValueError:
            path.unlink()
    import pooch  # these take longer to load than a picture to be drawn
    import requests

    downloader = pooch.HTTPDownloader(  # type: ignore[attr-defined]
        timeout=timeout, progressbar=watched()
    )
    faults = []
    for url in urls:
        try:
            with whole_file(path) as temporary:
                downloader(url, str(temporary), None)
                check(temporary)
            return path
        except (requests.RequestException, ValueError) as error:
            faults.append(f"{url}: {error}")
    raise FileNotFoundError(
        f"{path.name} could not be fetched; put it into a folder yourself and name that with"
        f" --data.folder (.gz or raw). Tried: {'; '.join(faults) or 'no mirror gives it'}"
    )
