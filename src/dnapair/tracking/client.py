"""How a stage asks MLflow: itself where it is loaded; else through a process that loads it meanwhile.

MLflow takes seconds to import, and its database seconds to open. The stages of a `dvc repro` or a
`dnapair run` share one process that does so; it ends with these. A stage that is started by hand has its own.
"""

import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from io import BufferedRWPair
from pathlib import Path
from typing import Any

import psutil

from dnapair.errors import DnapairError
from dnapair.storage.files import read_json, write_json
from dnapair.tracking.processes import dvc_process, name_process
from dnapair.tracking.tags import DVC_VARIABLE, RECORDER_VARIABLE
from dnapair.tracking.wording import StoreError

_NOTE = Path("artifacts/locks/recorder.lock")
"""Where the stages of a bare `dvc repro` find the process that its first stage has started."""
_PAUSE = 0.02

_lock = threading.Lock()
_lines: dict[Any, "_Line"] = {}


class _LostError(Exception):
    """The process that records has ended."""


class _Line:
    """A connection to the process that records; one question at a time."""

    def __init__(self, stream: BufferedRWPair) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def ask(self, do: str, values: dict[str, Any]) -> Any:
        with self._lock:
            try:
                self._stream.write(json.dumps({"do": do, "values": values}).encode() + b"\n")
                self._stream.flush()
                answer = self._stream.readline()
            except OSError as error:
                raise _LostError from error
        if not answer.endswith(b"\n"):
            raise _LostError
        told = json.loads(answer)
        if "refused" in told:
            raise DnapairError(told["refused"])
        if "error" in told:
            raise StoreError(told["error"], told["code"])
        return told["value"]


def ask(do: str, **values: Any) -> Any:
    """Have one of :mod:`dnapair.tracking.calls` done, and wait for it.

    Parameters
    ----------
    do
        Its name.
    values
        What it takes, as JSON has it.

    Returns
    -------
    Any
        What it returns.

    Raises
    ------
    DnapairError
        If it raises one.
    StoreError
        If it fails in another way, in another process. In this one it raises what MLflow raises.
    """
    for attempt in range(2):
        line = _line()
        if line is None:
            from dnapair.tracking.calls import call

            return call(do, values)
        try:
            return line.ask(do, values)
        except _LostError:
            with _lock:
                _lines.pop(_where(), None)
            if attempt:
                raise StoreError("the process that records has ended") from None
    raise AssertionError


def load_ahead() -> None:
    """Have the process that records for this pipeline begin to load MLflow, and do not wait for it."""
    if dvc_process() is None:
        return
    with _lock, suppress(OSError):
        stream = _reach()
        if stream is not None:
            stream.write(json.dumps({"do": "store", "values": {}}).encode() + b"\n")
            stream.flush()


def _where() -> tuple[str, tuple[tuple[str, str], ...]]:
    """Return all that another record would be kept for."""
    names = ("MLFLOW_", "DNAPAIR_")
    return os.getcwd(), tuple(sorted(item for item in os.environ.items() if item[0].startswith(names)))  # noqa: PTH109


def _line() -> _Line | None:
    """Return the line to the process that records; None where this one does so itself."""
    with _lock:
        where = _where()
        if where not in _lines:
            # who forks for DVC's stages has loaded it for what they compute
            if "mlflow" in sys.modules and DVC_VARIABLE not in os.environ:
                return None
            stream = _reach()
            if stream is None:
                return None
            _lines[where] = _Line(stream)
        return _lines[where]


def _reach() -> BufferedRWPair | None:
    """Connect to the process that records for this pipeline, or start one; None where that can't be."""
    pipeline = dvc_process()
    name = name_process(pipeline) if pipeline else None
    for address in (os.environ.get(RECORDER_VARIABLE), _noted(name)):
        stream = _connect(address)
        if stream is not None:
            return stream
    try:
        folder = tempfile.mkdtemp(prefix="dnapair-")
    except OSError:
        # nowhere to write to
        return None
    address = str(Path(folder, "recorder"))
    owner = pipeline or psutil.Process()
    # -P: what lies in this folder is no module
    recorder = subprocess.Popen(
        [sys.executable, "-P", "-m", "dnapair.tracking.recorder", address, str(owner.pid)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        # what ends a stage must not end it
        start_new_session=True,
    )
    while recorder.poll() is None:
        stream = _connect(address)
        if stream is not None:
            if name:
                write_json(_NOTE, {"pipeline": name, "address": address})
            # it ends by itself
            recorder.returncode = 0
            return stream
        time.sleep(_PAUSE)
    return None


def _noted(pipeline: str | None) -> str | None:
    if pipeline is None or not _NOTE.is_file():
        return None
    try:
        note = read_json(_NOTE)
    except DnapairError:
        return None
    return str(note["address"]) if note.get("pipeline") == pipeline else None


def _connect(address: str | None) -> BufferedRWPair | None:
    if not address:
        return None
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(address)
        return connection.makefile("rwb")
    except OSError:
        return None
    finally:
        # the stream keeps the connection open
        connection.close()
