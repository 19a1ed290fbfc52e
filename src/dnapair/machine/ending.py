"""The end of a process, without what Python does to what is loaded.

Python takes modules apart one by one before a process ends: 0.5 s with PyTorch, 1.3 s with TensorFlow, as
long as many a stage works.
"""

import atexit
import os
import sys
import threading
from collections.abc import Callable


def program(work: Callable[[], None]) -> None:
    """Do what a process is there for, and end it.

    Threads are waited for, what is registered with :mod:`atexit` is called, and what is printed is written.
    What else would be freed is the system's to free.

    Parameters
    ----------
    work
        May raise :class:`SystemExit`. Whatever else it raises ends it in the ordinary way.
    """
    status = 0
    try:
        work()
    except SystemExit as end:
        if isinstance(end.code, int):
            status = end.code
        elif end.code is not None:
            status = 1
            print(end.code, file=sys.stderr)
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    try:
        for stream in filter(None, (sys.stdout, sys.stderr)):
            stream.flush()
    except (OSError, ValueError):
        # Python will say so
        sys.exit(status)
    os._exit(status)
