"""Faults of the disk for a forked copy of this process: disk.c, compiled, preloaded and armed."""

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from tqdm import tqdm

SOURCE = Path(__file__).with_name("disk.c")


class Fault(IntEnum):
    """What happens at an operation; the numbers are those of disk.c."""

    NONE = 0
    FULL = 1
    IO = 2
    SHORT = 3
    PERMISSION = 4
    KILL = 5


WORDS = {
    Fault.FULL: "disk full",
    Fault.IO: "I/O error",
    Fault.SHORT: "short write",
    Fault.PERMISSION: "permission denied",
    Fault.KILL: "killed",
}


@dataclass(frozen=True)
class Outcome:
    """What came of an action in a process of its own.

    Args:
        status: the exit status; the negative number of the signal, if one killed it.
        output: what it printed, to either stream.
        operations: on files, that the kind of fault can happen to; 0 if it was killed.
        place: the operation that failed first, such as "write /folder/file"; empty if there was none.
        seconds: that it took.
    """

    status: int
    output: str
    operations: int
    place: str
    seconds: float


def compiler() -> str | None:
    """The C compiler, if there is one; without it, and elsewhere than on Linux, there are no such faults."""
    return shutil.which("gcc") if sys.platform == "linux" else None


def compile_library(folder: Path) -> Path:
    """Compile disk.c into a folder.

    Returns:
        The library, for LD_PRELOAD.
    """
    library = folder / "disk.so"
    words = ["-Wall", "-Wextra", "-Werror", "-O1", "-fPIC", "-shared", "-o", str(library)]
    subprocess.run([str(compiler()), *words, str(SOURCE), "-ldl"], check=True)
    return library


def preload() -> None:
    """Begin this command again with the library preloaded, one thread and no cache of the user's."""
    if hasattr(ctypes.CDLL(None), "disk_arm"):
        return
    if compiler() is None:
        raise SystemExit("faults of the disk need Linux and gcc")
    library = compile_library(Path(tempfile.mkdtemp()))
    environment = {**os.environ, "LD_PRELOAD": str(library), "OMP_NUM_THREADS": "1"}
    os.execve(sys.executable, sys.orig_argv, environment)


def warm_up(action: Callable[[], None], folder: Path) -> None:
    """Run an action here, so that the copies of this process need not import what it imports."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        with open(os.devnull, "w") as nowhere, redirect_stderr(nowhere), redirect_stdout(nowhere):
            action()
    except SystemExit as ended:
        if ended.code not in (None, 0):
            raise
    finally:
        os.chdir(before)


def attempt(
    action: Callable[[], None],
    folder: Path,
    fault: Fault = Fault.NONE,
    at: int = 0,
    *,
    stop_after: float | None = None,
    stop_signal: int = signal.SIGKILL,
) -> Outcome:
    """Run an action in a forked copy of this process, with ``folder`` as its working directory.

    Args:
        action: what it does.
        folder: operations on files in it are counted.
        fault: what happens at one of them.
        at: the number of that operation, from 1; 0 for none.
        stop_after: seconds until ``stop_signal`` is sent to it; None for never.
        stop_signal: number of the signal.
    """
    start = time.perf_counter()
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as note:
        child = os.fork()
        if child == 0:
            _run(action, folder, fault, at, output.fileno(), note.fileno())
        if stop_after is not None:
            time.sleep(stop_after)
            os.kill(child, stop_signal)
        _, status = os.waitpid(child, 0)
        output.seek(0)
        note.seek(0)
        counted, _, place = note.read().decode().partition(" ")
        return Outcome(
            os.waitstatus_to_exitcode(status),
            output.read().decode(errors="replace"),
            int(counted or 0),
            place,
            time.perf_counter() - start,
        )


def _run(
    action: Callable[[], None], folder: Path, fault: Fault, at: int, output: int, note: int
) -> None:
    """What the copy does; it never returns."""
    library = ctypes.CDLL(None)
    library.disk_place.restype = ctypes.c_char_p
    status = 0
    # tqdm's own is shared between copies, and one that is killed with it would let the others wait for ever.
    tqdm.set_lock(threading.RLock())
    try:
        os.dup2(output, 1)
        os.dup2(output, 2)
        sys.stdout = os.fdopen(1, "w", closefd=False)
        sys.stderr = os.fdopen(2, "w", closefd=False)
        os.chdir(folder)
        library.disk_arm(str(folder).encode(), int(fault), at)
        action()
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else 1 if ended.code else 0
        if isinstance(ended.code, str):
            print(ended.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
        status = 70
    counted = library.disk_counted()
    place = library.disk_place()
    library.disk_arm(b"", int(Fault.NONE), 0)
    sys.stdout.flush()
    sys.stderr.flush()
    os.pwrite(note, f"{counted} {place.decode()}".encode(), 0)
    os._exit(status)
