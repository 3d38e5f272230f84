"""Downloads, once, into the user's cache, from the first mirror that gives a whole file."""

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
    """Download a file, unless it is there already and passes the check.

    A file that does not pass is removed and downloaded again.

    Args:
        path: where the file is stored.
        urls: of the file, tried in order.
        check: raises ValueError if the file at a path is not the right one.
        timeout: seconds to connect, and seconds without data, before the next URL is tried.

    Returns:
        ``path``.

    Raises:
        FileNotFoundError: with the answer of each mirror, if none has the file.
    """
    if path.is_file():
        try:
            check(path)
            return path
        except ValueError:
            path.unlink()
    import pooch  # slow to import
    import requests

    downloader = pooch.HTTPDownloader(timeout=timeout, progressbar=watched())
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
