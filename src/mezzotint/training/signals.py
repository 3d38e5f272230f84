"""Stopping on request: SIGINT and SIGTERM ask, a second one insists."""

import signal
import threading
from collections.abc import Iterator
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
    """Within the block, the first SIGINT or SIGTERM is only noted; the next has its usual effect."""
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request  # signals can only be caught by the main thread
        return
    watched = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in watched}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def note(number: int, frame: FrameType | None) -> None:
        request.received = signal.Signals(number)
        restore()

    for number in watched:
        signal.signal(number, note)
    try:
        yield request
    finally:
        restore()
