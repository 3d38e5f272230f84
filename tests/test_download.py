"""Files from the net: mirrors that fail in every way, and what is left on the disk."""

import gzip
import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from common import idx_file
from mezzotint.data.download import fetch
from mezzotint.data.idx_sets import IdxSet

GOOD = bytes(range(256)) * 40
TIMEOUT = (2.0, 0.3)


@dataclass
class Mirror:
    """A server on this machine: ``content`` of each path under /good; other folders fail."""

    content: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)
    port: int = 0

    def url(self, way: str, name: str = "file.gz") -> str:
        return f"http://127.0.0.1:{self.port}/{way}/{name}"

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        self.asked.append(request.path)
        way, name = request.path.lstrip("/").split("/", 1)
        content = self.content.get(name, GOOD)
        if way in ("403", "404", "503"):
            request.send_error(int(way))
            return
        if way == "html":
            content = b"<html>Please log in</html>"
        request.send_response(200)
        request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        if way == "stalling":
            request.wfile.write(content[:100])
            request.wfile.flush()
            self.released.wait(10)
        elif way == "cut":
            request.wfile.write(content[: len(content) // 2])
        elif way == "flipped":
            middle = len(content) // 2
            flipped = bytes([content[middle] ^ 0x10])
            request.wfile.write(content[:middle] + flipped + content[middle + 1 :])
        else:
            request.wfile.write(content)


@pytest.fixture
def mirror() -> Iterator[Mirror]:
    """A server that runs for the test."""
    state = Mirror()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.answer(self)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        state.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield state
        state.released.set()
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of the test's own; and no proxy between the test and its server."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "*")
    return tmp_path / "cache"


def check(path: Path) -> None:
    if path.read_bytes() != GOOD:
        raise ValueError("it is not the file: its MD5 is wrong")


def files(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a file shall be."""
    return tmp_path / "cache" / "data" / "file.gz"


# --- One file.


def test_a_file_is_fetched_once(mirror: Mirror, path: Path, tmp_path: Path) -> None:
    for _ in range(2):
        assert fetch(path, [mirror.url("good")], check) == path
    assert path.read_bytes() == GOOD
    assert mirror.asked == ["/good/file.gz"]
    assert files(tmp_path) == ["cache/data/file.gz"]


BAD = ["403", "404", "503", "html", "cut", "flipped", "stalling"]


@pytest.mark.parametrize("way", BAD)
def test_the_next_mirror_is_asked(mirror: Mirror, path: Path, tmp_path: Path, way: str) -> None:
    fetch(path, [mirror.url(way), mirror.url("good")], check, TIMEOUT)
    assert path.read_bytes() == GOOD
    assert mirror.asked == [f"/{way}/file.gz", "/good/file.gz"]
    assert files(tmp_path) == ["cache/data/file.gz"]


def test_a_mirror_that_is_not_there_is_passed_over(mirror: Mirror, path: Path) -> None:
    nobody = ["http://127.0.0.1:1/file.gz", "http://nowhere.invalid/file.gz"]
    fetch(path, [*nobody, mirror.url("good")], check, TIMEOUT)
    assert path.read_bytes() == GOOD


def test_mirrors_after_the_first_good_one_are_left_alone(mirror: Mirror, path: Path) -> None:
    fetch(path, [mirror.url("good"), mirror.url("503")], check)
    assert mirror.asked == ["/good/file.gz"]


def test_if_all_fail_each_is_named_with_its_fault_and_nothing_is_left(
    mirror: Mirror, path: Path, tmp_path: Path
) -> None:
    urls = [mirror.url(way) for way in BAD]
    with pytest.raises(FileNotFoundError, match=r"file\.gz.*--data\.folder") as caught:
        fetch(path, urls, check, TIMEOUT)
    told = str(caught.value)
    assert all(url in told for url in urls)
    for fault in ("403", "503", "MD5", "timed out"):
        assert fault in told
    assert files(tmp_path) == []


@pytest.mark.parametrize("content", [b"", GOOD[: len(GOOD) * 57 // 100], b"\xff" + GOOD[1:]])
def test_a_broken_file_in_the_cache_is_fetched_again(
    mirror: Mirror, path: Path, tmp_path: Path, content: bytes
) -> None:
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    fetch(path, [mirror.url("good")], check)
    assert path.read_bytes() == GOOD
    assert files(tmp_path) == ["cache/data/file.gz"]


def test_a_broken_file_in_the_cache_is_not_used_when_no_mirror_answers(
    mirror: Mirror, path: Path, tmp_path: Path
) -> None:
    path.parent.mkdir(parents=True)
    path.write_bytes(GOOD[:100])
    with pytest.raises(FileNotFoundError):
        fetch(path, [mirror.url("503")], check)
    assert files(tmp_path) == []


def test_an_interruption_leaves_nothing_behind(mirror: Mirror, path: Path, tmp_path: Path) -> None:
    def interrupted(path: Path) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(path, [mirror.url("good")], interrupted)
    assert files(tmp_path) == []


# --- A data set.

IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"


@pytest.mark.parametrize("checksum", ["packed", "content"])
def test_a_data_set_is_fetched_file_by_file_and_checked(
    mirror: Mirror, tmp_path: Path, checksum: str
) -> None:
    pixels = np.arange(3 * 4 * 5, dtype=np.uint8).reshape(3, 4, 5)
    raw = {IMAGES: idx_file(pixels), LABELS: idx_file(np.array([1, 0, 1], np.uint8))}
    gz = {name: gzip.compress(content, mtime=0) for name, content in raw.items()}
    mirror.content = {f"{name}.gz": content for name, content in gz.items()}
    sums = {
        "packed": {name: hashlib.md5(content).hexdigest() for name, content in gz.items()},
        "content": {name: hashlib.sha256(content).hexdigest() for name, content in raw.items()},
    }
    mirrors = tuple(mirror.url(way, "")[:-1] for way in ("flipped", "html", "good"))
    known = IdxSet(title="Runes", classes=("f", "u"), mirrors=mirrors, **{checksum: sums[checksum]})
    for _ in range(2):
        data = known("train")
        assert np.array_equal(data.images[:, 0].numpy(), pixels)
        assert data.labels.tolist() == [1, 0, 1]
    assert len(mirror.asked) == 6  # three mirrors for each of two files, once
    assert files(tmp_path) == [f"cache/mezzotint/data/runes/{name}.gz" for name in (IMAGES, LABELS)]
    with pytest.raises(FileNotFoundError, match="t10k-images-idx3-ubyte"):
        IdxSet(title="Runes", classes=("f", "u"), mirrors=(mirror.url("404", "")[:-1],))("test")
