"""The process that loads MLflow once, and records for all stages of a pipeline."""

import json
import shutil
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from dnapair.errors import DnapairError
from dnapair.machine.ending import program
from dnapair.machine.environment import set_environment
from dnapair.tracking.wording import reason

_PAUSE = 0.2


@contextmanager
def answering() -> Iterator[str]:
    """Answer what stages ask, beside this process's own work; gives the address for them."""
    folder = tempfile.mkdtemp(prefix="dnapair-")
    try:
        with _listen(str(Path(folder, "recorder"))) as address:
            yield address
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _listen(address: str) -> Iterator[str]:
    listener = socket.socket(socket.AF_UNIX)
    with listener:
        listener.bind(address)
        listener.listen()
        threading.Thread(target=_accept, args=(listener,), daemon=True).start()
        yield address


def _accept(listener: socket.socket) -> None:
    # it is closed when all is done
    with suppress(OSError):
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=_answer, args=(connection,), daemon=True).start()


def _answer(connection: socket.socket) -> None:
    # one who asks may be killed
    with suppress(OSError), connection, connection.makefile("rwb") as stream:
        for line in stream:
            stream.write(json.dumps(_do(line)).encode() + b"\n")
            stream.flush()


def _do(line: bytes) -> dict[str, Any]:
    from dnapair.tracking.calls import call

    asked = json.loads(line)
    try:
        return {"value": call(asked["do"], asked["values"])}
    except DnapairError as error:
        return {"refused": str(error)}
    # whatever it is, the one who asked is told
    except Exception as error:
        return {"error": reason(error), "code": getattr(error, "error_code", None)}


def _lives(process: psutil.Process) -> bool:
    # one that nobody has waited for has ended too
    with suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def main() -> None:
    """Answer at an address until a process has ended; both are this program's arguments."""
    set_environment()
    address = Path(sys.argv[1])
    try:
        owner = psutil.Process(int(sys.argv[2]))
        with _listen(str(address)):
            while _lives(owner):
                with suppress(psutil.TimeoutExpired):
                    owner.wait(_PAUSE)
    except psutil.NoSuchProcess:
        return
    finally:
        shutil.rmtree(address.parent, ignore_errors=True)


if __name__ == "__main__":
    program(main)
