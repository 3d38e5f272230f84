"""Loading of torch and of other large modules, which is most of what a short command waits for."""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def loading_modules() -> Iterator[None]:
    """Load modules in the block without searching them for garbage, then or later.

    Hundreds of thousands of objects come with torch, and all stay until the end. Python would go through them
    dozens of times while they are made, and again at the end of the process; benchmarks/startup.py tells what
    that takes.

    For commands only: whoever imports the package decides about garbage alone.
    """
    loaded = len(sys.modules)
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if len(sys.modules) > loaded:
            gc.freeze()
        if was_enabled:
            gc.enable()
