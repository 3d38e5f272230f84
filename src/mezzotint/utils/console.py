"""The terminal, which may be missing, deaf or not of this century: nothing that is printed ends a run.

A program may have no standard error, no terminal, an encoding without accents, or a reader that has left
(``mezzotint info digits | head -1``). Results are in files before they are printed, so what cannot be printed
is left out.
"""

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO, cast

READER_LEFT = 141
"""The exit status of a program whose reader left: 128 + SIGPIPE."""

_UNDECODED = re.compile("[\udc80-\udcff]")


def printable(text: str, encoding: str = "utf-8") -> str:
    """``text`` with escapes for what ``encoding`` lacks, and for bytes of file names that are not UTF-8."""
    if _UNDECODED.search(
        text
    ):  # bytes that Python could not decode where it met them; UTF-8, perhaps
        raw = text.encode("utf-8", "surrogateescape")
        text = raw.decode("utf-8", "backslashreplace")
    return text.encode(encoding, "backslashreplace").decode(encoding)


class SafeStream:
    """A text stream that never fails: it escapes what it cannot encode, and goes silent when it cannot write.

    Args:
        stream: a standard stream; None if the program has none.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream
        self.encoding = getattr(stream, "encoding", None) or "utf-8"
        self.error: OSError | ValueError | None = None

    def write(self, text: str) -> int:
        """Write, or not."""
        if self._stream is not None and self.error is None:
            with self._silenced():
                self._stream.write(printable(text, self.encoding))
        return len(text)

    def flush(self) -> None:
        """Flush, or not."""
        if self._stream is not None and self.error is None:
            with self._silenced():
                self._stream.flush()

    @contextmanager
    def _silenced(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError) as error:
            self.error = error
            # Python flushes once more when it ends, and would complain.
            with suppress(OSError, ValueError):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, cast(TextIO, self._stream).fileno())
                os.close(nowhere)

    def isatty(self) -> bool:
        """Whether a person may be watching."""
        with suppress(OSError, ValueError):
            return self._stream is not None and self._stream.isatty()
        return False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def safe_streams() -> Iterator[None]:
    """Within the block, standard output and standard error never fail.

    Raises:
        SystemExit: at the end, if standard output could not be written: with status 141 if its reader left.
    """
    output = sys.stdout
    errors = sys.stderr
    safe_output = SafeStream(output)
    sys.stdout = cast(TextIO, safe_output)
    sys.stderr = cast(TextIO, SafeStream(errors))
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        sys.stdout = output
        sys.stderr = errors
    if isinstance(safe_output.error, BrokenPipeError):
        sys.exit(READER_LEFT)
    if safe_output.error is not None:
        sys.exit(f"mezzotint: standard output: {safe_output.error}")


def warn(text: str) -> None:
    """A line on standard error, above progress bars; nothing if there is no standard error."""
    from tqdm import tqdm  # not needed for --help, which has to be quick

    tqdm.write(text, file=SafeStream(sys.stderr))


def watched() -> bool:
    """Whether standard error is a terminal."""
    return SafeStream(sys.stderr).isatty()
