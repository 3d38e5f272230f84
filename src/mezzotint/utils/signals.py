"""Stopping on request: SIGINT, SIGTERM and SIGHUP ask, a second one insists."""

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType


class StopRequest:
    """``received`` is the one that arrived, or None."""

    received: signal.Signals | None = None


@dataclass(frozen=True)
class Stopped:
    """How training ended: at ``step``, by the signal of this number, or by itself (None)."""

    step: int
    signal: int | None


@contextmanager
def stop_on_signal() -> Iterator[StopRequest]:
    """Within the block, the first SIGINT, SIGTERM or SIGHUP is only noted; the next has its usual effect.

    A SIGHUP that is ignored, as under nohup, stays so.
    """
    request = StopRequest()

    def note(number: int, restore: Callable[[], None]) -> None:
        request.received = signal.Signals(number)
        restore()

    with _handled((signal.SIGINT, signal.SIGTERM, *_hangup()), note):
        yield request


@contextmanager
def exit_on_signal() -> Iterator[StopRequest]:
    """Within the block, SIGTERM and SIGHUP end the program as an error does: what is half-written is removed.

    The status is 128 and the number of the signal. Where a signal is handled or ignored already, it stays so.

    Yields:
        The signal that was received, SIGINT too. The exception that a signal raises may be lost in compiled
        code, which raises another one.
    """
    request = StopRequest()

    def leave(number: int, restore: Callable[[], None]) -> None:
        request.received = signal.Signals(number)
        restore()
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        sys.exit(128 + number)

    defaults = (signal.SIG_DFL, signal.default_int_handler)
    numbers = (signal.SIGINT, signal.SIGTERM, *_hangup())
    with _handled([n for n in numbers if signal.getsignal(n) in defaults], leave):
        yield request


def _hangup() -> list[signal.Signals]:
    """SIGHUP, which a terminal sends when it closes, if the system has it and it is not ignored."""
    number = getattr(signal, "SIGHUP", None)
    return [number] if number is not None and signal.getsignal(number) != signal.SIG_IGN else []


@contextmanager
def _handled(
    numbers: "tuple[signal.Signals, ...] | list[signal.Signals]",
    handle: Callable[[int, Callable[[], None]], None],
) -> Iterator[None]:
    """Within the block, ``handle(number, restore)`` is called for these signals."""
    if threading.current_thread() is not threading.main_thread():
        yield  # signals can only be caught by the main thread
        return
    before = {number: signal.getsignal(number) for number in numbers}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def received(number: int, frame: FrameType | None) -> None:
        handle(number, restore)

    for number in numbers:
        signal.signal(number, received)
    try:
        yield
    finally:
        restore()
