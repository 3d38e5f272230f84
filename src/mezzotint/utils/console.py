"""Output to the terminal. A failure to print never ends a run.

A program may have no standard error, no terminal, an encoding without accents, or a closed pipe
(``mezzotint info digits | head -1``). Results are in files before they are printed, so text that cannot be
printed is left out.
"""

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO, cast

READER_LEFT = 141
"""The exit status if the pipe at standard output was closed: 128 + SIGPIPE."""

_UNDECODED = re.compile("[\udc80-\udcff]")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")


def printable(text: str, encoding: str = "utf-8") -> str:
    """Text with escapes for what cannot be printed.

    Args:
        text: any text; surrogates stand for bytes of a file name that are not UTF-8.
        encoding: of the output.

    Returns:
        The text, with backslash escapes for those bytes and for characters that the encoding lacks.
    """
    if _UNDECODED.search(text):  # undecoded bytes, which may be UTF-8
        raw = text.encode("utf-8", "surrogateescape")
        text = raw.decode("utf-8", "backslashreplace")
    return text.encode(encoding, "backslashreplace").decode(encoding)


def in_a_line(error: Exception) -> str:
    """What an error says, in one line; its type if it says nothing."""
    return one_line(str(error)) or type(error).__name__


def one_line(text: str) -> str:
    """Text without line breaks, and with escapes for other control characters, which act on a terminal."""
    return visible(" ".join(line.strip() for line in text.splitlines()))


def visible(text: str) -> str:
    r"""Text with escapes such as ``\x1b`` for control characters."""
    return _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", text)


class SafeStream:
    """A text stream that never fails: it escapes what it cannot encode, and drops text after an error.

    Args:
        stream: a standard stream; None if the program has none.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream
        self.encoding = getattr(stream, "encoding", None) or "utf-8"
        self.error: OSError | ValueError | None = None

    def write(self, text: str) -> int:
        """Write the text, unless the stream is missing or has failed."""
        if self._stream is not None and self.error is None:
            with self._silenced():
                self._stream.write(printable(text, self.encoding))
        return len(text)

    def flush(self) -> None:
        """Flush the stream, unless it is missing or has failed."""
        if self._stream is not None and self.error is None:
            with self._silenced():
                self._stream.flush()

    @contextmanager
    def _silenced(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError) as error:
            self.error = error
            # Python flushes again at exit, and would report an error.
            with suppress(OSError, ValueError):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, cast(TextIO, self._stream).fileno())
                os.close(nowhere)

    def isatty(self) -> bool:
        """Whether the stream is a terminal."""
        with suppress(OSError, ValueError):
            return self._stream is not None and self._stream.isatty()
        return False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def safe_streams() -> Iterator[None]:
    """Within the block, standard output and standard error never fail.

    Raises:
        SystemExit: at the end, if standard output failed; with status 141 if its pipe was closed.
    """
    output = sys.stdout
    errors = sys.stderr
    safe_output = SafeStream(output)
    sys.stdout = cast(TextIO, safe_output)
    sys.stderr = cast(TextIO, SafeStream(errors))
    ended: SystemExit | None = None
    try:
        yield
    except SystemExit as error:
        ended = error
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        sys.stdout = output
        sys.stderr = errors
    if ended is not None and ended.code not in (None, 0):
        raise ended
    if isinstance(safe_output.error, BrokenPipeError):
        sys.exit(READER_LEFT)
    if safe_output.error is not None:
        sys.exit(f"mezzotint: standard output: {safe_output.error}")
    if ended is not None:
        raise ended


def warn(text: str) -> None:
    """Print a line on standard error, above progress bars, if there is a standard error."""
    from tqdm import tqdm  # not needed for --help, which has to be quick

    tqdm.write(text, file=SafeStream(sys.stderr))


def watched() -> bool:
    """Whether standard error is a terminal."""
    return SafeStream(sys.stderr).isatty()
