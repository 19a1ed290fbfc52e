"""The near end of a process that has imported what stages need (:mod:`dnapair.commands.warm`).

Half of the time of a small pipeline is imports. `prepare`, as all others follow it unless it alone was asked
for, or the third stage that a DVC process runs starts such a process beside itself; where it is ready, later
ones hand their work over to a child that it forks.
"""

import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil

from dnapair.tracking.processes import dvc_process, name_process
from dnapair.tracking.tags import DVC_VARIABLE

FOLDER = Path("artifacts/locks")
_FEW = 2
"""Stages for which it is not worth starting."""
_MARK = "warm-"


def hand_over() -> None:
    """Have a child of the warm process do this command, and end as it does; return where there is none."""
    if DVC_VARIABLE in os.environ:
        # this is the child
        return
    # only Linux tells of a process's end by a descriptor, and forks safely whatever is loaded
    pipeline = dvc_process() if sys.platform == "linux" and FOLDER.parent.is_dir() else None
    if pipeline is None:
        return
    # another container that has this folder may have a process of the same number
    name = hashlib.sha256(name_process(pipeline).encode()).hexdigest()[:8]
    mark = FOLDER / f"{_MARK}{pipeline.pid}-{name}.lock"
    with socket.socket(socket.AF_UNIX) as line:
        try:
            # relative: a whole path may be too long
            line.connect(str(mark.with_suffix(".socket")))
        except OSError:
            # `locate` runs whether there is work to do or not
            if sys.argv[1:2] != ["locate"]:
                with suppress(OSError, psutil.Error):
                    _count(mark, pipeline)
            return
        order = {
            "words": sys.argv,
            "folder": os.getcwd(),  # noqa: PTH109
            "environment": os.environ | {DVC_VARIABLE: str(pipeline.pid)},
            "interrupts": signal.getsignal(signal.SIGINT) is signal.default_int_handler,
        }
        _follow(line, json.dumps(order).encode("ascii"))


def _count(mark: Path, pipeline: psutil.Process) -> None:
    """Count the stages of DVC's process; with enough, start the one that the others hand over to."""
    if not mark.exists():
        mark.parent.mkdir(exist_ok=True)
        _forget_ended()
    first = sys.argv[1:2] == ["prepare"] and pipeline.cmdline()[-2:] != ["repro", "prepare"]
    with mark.open("ab") as stages:
        before = stages.tell()
        stages.write(b"." * (_FEW + 1 if first else 1))
        if not before <= _FEW < stages.tell():
            return
    # -P: what lies in this folder is no module. In the group of this one: what kills all of it kills it too
    warm = subprocess.Popen(
        [sys.executable, "-P", "-m", "dnapair.commands.warm", str(mark), str(pipeline.pid)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    # it ends by itself
    warm.returncode = 0


def _forget_ended() -> None:
    """Remove what processes of DVC's left that have ended."""
    for left in FOLDER.glob(f"{_MARK}*"):
        if not psutil.pid_exists(int(left.stem.split("-")[1])):
            left.unlink(missing_ok=True)


def _follow(line: socket.socket, order: bytes) -> None:
    """Give an order, and end as the child ends that carries it out; return where none could be made."""
    with line.makefile("rb") as answers:
        try:
            socket.send_fds(line, [len(order).to_bytes(8, "big")], [0, 1, 2])
            line.sendall(order)
            child = int(answers.readline())
        except (OSError, ValueError):
            return
        # a terminal interrupts the child too
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, lambda *_: os.kill(child, signal.SIGTERM))
        status = int(answers.readline() or -signal.SIGKILL)
    if status < 0:
        if status != -signal.SIGKILL:
            signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    sys.exit(status)
