"""Pieces of one piece of work, side by side in forks of this process."""

import ctypes
import json
import os
import signal
import sys
import tempfile
import traceback
from collections import deque
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, TypeVar

from dnapair.errors import DnapairError, message
from dnapair.machine.processor import cores

Item = TypeVar("Item")
Send = Callable[[bytes], None]
_SENT, _FAILED = b"\0", b"\1"
_PDEATHSIG = 1
"""Of Linux's prctl: which signal a process gets when its parent ends."""


def side_by_side(pieces: int) -> int:
    """Return how many of so many pieces of work to do at a time, where one keeps one core busy.

    One where there is a GPU, which serves one process best, and where what has threads can't be forked.
    """
    gpu = any(Path("/dev").glob("nvidia[0-9]*")) or Path("/dev/kfd").exists()
    alone = gpu or sys.platform != "linux" or cores() == 1
    # of three on two cores, all at once end sooner than two and then one
    return 1 if alone else min(pieces, 2 * cores())


def may_fork() -> bool:
    """Tell whether no thread of this process asks MLflow, for which a fork could wait for ever."""
    return "dnapair.tracking.calls" not in sys.modules


def do_each(work: Callable[[Item], None], items: Sequence[Item]) -> None:
    """Do the same for each item, in forks of this process where that is safe and faster.

    Parameters
    ----------
    work
        Called with an item, perhaps in a fork: what it leaves is in files.
    items
        Each for one call.

    Raises
    ------
    Exception
        As :func:`fork_each` does, or what the work raises.
    """
    at_once = side_by_side(len(items))
    if at_once > 1 and may_fork():
        with closing(fork_each(lambda number, _: work(items[number]), len(items), at_once)) as forks:
            # they send nothing
            list(forks)
        return
    for item in items:
        work(item)


def fork_each(
    work: Callable[[int, Send], None], pieces: int, workers: int
) -> Generator[tuple[int, bytes], None, None]:
    """Do pieces of work in forks of this process, and yield what they send, as it comes.

    All forks are made at once, and end with this process, however that ends. What another thread of it has
    locked at that moment stays locked in the forks, a module that it imports too.

    Parameters
    ----------
    work
        Called in a fork with the number of the piece, from 0, and what sends bytes to here.
    pieces
        How many there are.
    workers
        Forks that are at work at a time.

    Yields
    ------
    int, bytes
        The number of the piece, and what its fork sent.

    Raises
    ------
    DnapairError
        If the work raised something that the user can mend, or its fork was killed.
    RuntimeError
        If it raised something else; the message is its traceback.
    """
    context = get_context("fork")
    forks: dict[Any, tuple[int, BaseProcess]] = {}
    # a fork ends without what its libraries leave to do at the end, TensorFlow its temporary files
    scratch = tempfile.TemporaryDirectory(prefix="dnapair-", ignore_cleanup_errors=True)
    try:
        for piece in range(pieces):
            here, there = context.Pipe()
            process: BaseProcess = context.Process(
                target=_work, args=(work, piece, there, os.getpid(), scratch.name), daemon=True
            )
            process.start()
            there.close()
            forks[here] = piece, process
        waiting = deque(forks)
        for _ in range(min(workers, pieces)):
            _begin(waiting.popleft())
        while forks:
            line: Any
            for line in wait(forks):
                piece, process = forks[line]
                try:
                    sent = line.recv_bytes()
                except (EOFError, ConnectionResetError):
                    _end(process)
                    del forks[line]
                    if waiting:
                        _begin(waiting.popleft())
                    continue
                if sent[:1] == _FAILED:
                    raise _error(json.loads(sent[1:]))
                yield piece, sent[1:]
    finally:
        for _, process in forks.values():
            process.kill()
            process.join()
        scratch.cleanup()


def _begin(line: Connection) -> None:
    # that one was killed while it waited is seen when it is listened to
    with suppress(OSError):
        line.send_bytes(_SENT)


def end_with_parent(parent: int) -> None:
    """Have this process killed when its parent ends, which it may have done already."""
    ctypes.CDLL(None).prctl(_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def _work(work: Callable[[int, Send], None], piece: int, line: Connection, parent: int, scratch: str) -> None:
    end_with_parent(parent)
    tempfile.tempdir = scratch
    # a terminal's is for the one that waits
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        line.recv_bytes()
        work(piece, lambda sent: line.send_bytes(_SENT + sent))
    except Exception as error:
        failed = {"message": message(error), "traceback": traceback.format_exc()}
        line.send_bytes(_FAILED + json.dumps(failed).encode())


def _end(process: BaseProcess) -> None:
    process.join()
    if process.exitcode:
        raise DnapairError(
            f"A process of this stage ended with {process.exitcode}, where -9 is what the system does when "
            "memory runs out. Run it again with OMP_NUM_THREADS=1: a part of its work at a time takes less."
        )


def _error(failed: dict[str, Any]) -> Exception:
    if failed["message"] is not None:
        return DnapairError(failed["message"])
    return RuntimeError(f"a fork failed:\n{failed['traceback']}")
