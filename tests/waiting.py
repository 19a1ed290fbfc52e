"""How tests wait: for what happens, never for a time in which it should have happened."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

PATIENCE = 1200.0
"""Seconds after which something hangs. It ends a test that would never end; no other comes near it."""
GATE = Path(__file__).parent / "gate"


def wait_for(
    happened: Callable[[], object], process: subprocess.Popen | None = None, every: float = 0.005
) -> None:
    """Wait until something happened, looking again and again; fail if the process that does it has ended."""
    end = time.monotonic() + PATIENCE
    while True:
        ended = process is not None and process.poll() is not None
        if happened():
            return
        assert not ended, f"{process.args} ended with {process.returncode}"
        assert time.monotonic() < end, "it never happened"
        time.sleep(every)


class Gate:
    """A place in the work of `dnapair` where its thread waits until the test opens, or kills the process.

    Parameters
    ----------
    folder
        A new one, for the gate's own files.
    event
        One of Python's audit events, such as ``os.rename``, which comes before a file gets its name.
    pattern
        Regular expression that the event's arguments hold.
    turn
        The first such event is 1; those before this one pass.
    """

    def __init__(self, folder: Path, event: str, pattern: str, turn: int = 1) -> None:
        folder.mkdir()
        self._folder = folder
        self._place = json.dumps([str(folder), event, pattern, turn])

    def put_into(self, env: Mapping[str, str]) -> dict[str, str]:
        """Return an environment whose processes have the gate."""
        paths = os.pathsep.join(filter(None, (str(GATE), env.get("PYTHONPATH"))))
        return {**env, "PYTHONPATH": paths, "DNAPAIR_TEST_GATE": self._place}

    def wait(self, process: subprocess.Popen) -> None:
        """Wait until the process, or one that it started, stands at the gate."""
        wait_for((self._folder / "reached").exists, process)

    def open(self) -> None:
        """Let it go on."""
        (self._folder / "open").touch()


@contextmanager
def reserved_port() -> Iterator[int]:
    """Give a port that is free, and stays so for one server at a time until the block ends.

    It is bound and does not listen: who connects is refused, nobody else is given it, and a server that
    sets SO_REUSEADDR, as they all do, can listen there.
    """
    with socket.socket() as reserved:
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # gRPC's servers want this one too
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        reserved.bind(("127.0.0.1", 0))
        port: int = reserved.getsockname()[1]
        if sys.platform != "linux":
            # elsewhere what is bound is taken, whatever was set
            reserved.close()
        yield port
