"""A process in which something hostile is read, with limits of time and memory, and no way to a network."""

import contextlib
import io
import multiprocessing
import os
import resource
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

SILENCE = 120
"""Seconds on the wall after which a process that says nothing hangs, and is killed."""


@dataclass(frozen=True)
class Limits:
    """What one attack may take.

    Args:
        seconds: of a processor; not on the wall, where other work on the machine adds to it.
        memory: bytes, on top of what the process has.
    """

    seconds: float = 2.0
    memory: int = 512 * 2**20


class OvertimeError(BaseException):
    """The processor time is used up. No handler of errors in the code under test catches it."""


class NetworkError(BaseException):
    """The code under test wanted to reach a network."""


@dataclass(frozen=True)
class Verdict:
    """What came of one attack: one of the outcomes that are in order, or "broken", and why."""

    outcome: str
    why: str = ""


Attempt = Callable[[int], str]
"""Makes the attack of a number, and returns its outcome; "refused" by raising an exception of the promise."""


def verdict_of(attempt: Attempt, index: int, limits: Limits) -> Verdict:
    """What comes of an attack, under the limits of this process."""
    try:
        with limited(limits), contextlib.redirect_stderr(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.simplefilter("ignore", DeprecationWarning)
            warnings.simplefilter("ignore", FutureWarning)
            return Verdict(attempt(index))
    except (ValueError, OSError) as error:
        fault = fault_of(error)
        return Verdict("broken", fault) if fault else Verdict("refused")
    except OvertimeError:
        return Verdict("broken", f"more than {limits.seconds} s")
    except BaseException as error:
        return Verdict("broken", f"{type(error).__name__}: {str(error)[:200]}{_last_line(error)}")


def fault_of(error: ValueError | OSError) -> str:
    """What is wrong with an exception that may be raised: it should say in a line what, and which file."""
    words = str(error)
    if isinstance(error, OSError) and error.errno is not None and not error.filename:
        return f"{type(error).__name__} without a file: {words}{_last_line(error)}"
    if not words or len(words.splitlines()) > 1:
        lines = len(words.splitlines())
        return f"{type(error).__name__} of {lines} lines: {words[:200]!r}{_last_line(error)}"
    return ""


def _last_line(error: BaseException) -> str:
    """The last line of the package that an exception came through."""
    place = ""
    trace = error.__traceback__
    while trace is not None:
        file = Path(trace.tb_frame.f_code.co_filename)
        if "mezzotint" in file.parts and "tests" not in file.parts:
            place = f" ({file.parent.name}/{file.name}:{trace.tb_lineno})"
        trace = trace.tb_next
    return place


@contextlib.contextmanager
def limited(limits: Limits) -> Iterator[None]:
    """Limits of processor time and memory in the block."""
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    signal.setitimer(signal.ITIMER_PROF, limits.seconds)
    resource.setrlimit(resource.RLIMIT_AS, (size + limits.memory, hard))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        resource.setrlimit(resource.RLIMIT_AS, (hard, hard))


def _overtime(number: int, frame: Any) -> None:
    raise OvertimeError


def _no_network(event: str, arguments: tuple[Any, ...]) -> None:
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"):
        raise NetworkError(f"{event} {arguments[1:]}")


def _work(
    make: Callable[[Path], Attempt],
    place: Path,
    first: int,
    count: int,
    limits: Limits,
    pipe: Connection,
) -> None:
    """Make the attacks from ``first`` on, and send what came of each."""
    signal.signal(signal.SIGPROF, _overtime)
    sys.addaudithook(_no_network)
    os.chdir(place)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)  # what libraries in C say
        attempt = make(place)
        for index in range(first, count):
            pipe.send(verdict_of(attempt, index, limits))
    pipe.close()


def verdicts(
    make: Callable[[Path], Attempt], place: Path, count: int, limits: Limits
) -> Iterator[tuple[int, Verdict]]:
    """Make attacks number 0 to ``count - 1`` in a process of their own; after a crash, in a new one.

    Args:
        make: called with the folder in the process, returns what makes an attack.
        place: a folder to work in.
        count: number of attacks.
        limits: of each attack.

    Yields:
        Their numbers, and what came of them.
    """
    fork = multiprocessing.get_context("fork")
    first = 0
    while first < count:
        ours, theirs = fork.Pipe(duplex=False)
        process = fork.Process(
            target=_work, args=(make, place, first, count, limits, theirs), daemon=True
        )
        process.start()
        theirs.close()
        try:
            while first < count:
                if not ours.poll(SILENCE):
                    process.kill()
                    yield first, Verdict("broken", f"it hung for {SILENCE} s")
                    first += 1
                    break
                yield first, ours.recv()
                first += 1
        except EOFError:
            process.join()
            yield first, Verdict("broken", f"the process died, exit code {process.exitcode}")
            first += 1
        process.join()
        ours.close()
