"""The process that has imported what stages need, and forks for each of them.

The near end is :mod:`dnapair.commands.handover`.
"""

import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

import psutil

from dnapair.machine.ending import program
from dnapair.machine.environment import set_environment
from dnapair.machine.forks import end_with_parent

_IMPORTED: tuple[tuple[set[str], tuple[str, ...]], ...] = (
    (
        {"prepare", "interact", "finetune", "embed", "scale"},
        (
            "dnapair.cli",
            "dnapair.stages.prepare",
            "dnapair.stages.interact",
            "dnapair.stages.embed",
            "dnapair.embedding.embedder",
            "dnapair.stages.scale",
        ),
    ),
    ({"validate"}, ("dnapair.stages.validate", "dnapair.checks.expectations")),
    ({"tune"}, ("dnapair.stages.tune", "keras_tuner", "dnapair.training.tensorflow_learner")),
    (
        {"train", "score", "baselines", "crossvalidate", "evaluate", "register"},
        (
            "dnapair.training.torch_learner",
            # which the first optimizer would import
            "torch._dynamo",
            # by which a trained network becomes a model of MLflow's
            "torch.export._trace",
            "dnapair.tracking.native_models",
            "mlflow.pytorch",
            "mlflow.tensorflow",
            "dnapair.stages.baselines",
            "matplotlib.pyplot",
            "dnapair.stages.evaluate",
            "dnapair.stages.register",
            "mlflow.store.tracking.sqlalchemy_store",
        ),
    ),
)
"""Modules in the order of the stages that need them. Each part is of use before the next is there."""


def main() -> None:
    """Answer beside a mark until a process of DVC's has ended; both are this program's arguments."""
    mark, number = Path(sys.argv[1]), int(sys.argv[2])
    pipeline, words = os.pidfd_open(number), psutil.Process(number).cmdline()
    # a terminal's is for those who do the work
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    set_environment()
    gc.disable()
    order = _answer(mark.with_suffix(".socket"), pipeline, _find_needed(words))
    if order is None:
        mark.unlink(missing_ok=True)
        return
    _become(order)
    runpy.run_module("dnapair", run_name="__main__", alter_sys=True)


def _find_needed(words: Sequence[str]) -> list[tuple[str, ...]]:
    """Return the parts to import for a DVC command: all, but where it is `repro` with targets alone."""
    last = len(_IMPORTED) - 1
    places = {stage: place for place, (stages, _) in enumerate(_IMPORTED) for stage in stages}
    targets = words[words.index("repro") + 1 :] if "repro" in words else []
    reached = max((places.get(target, last) for target in targets), default=last)
    return [modules for _, modules in _IMPORTED[: reached + 1]]


def _answer(address: Path, pipeline: int, needed: Sequence[tuple[str, ...]]) -> dict[str, Any] | None:
    """Import, and fork for each stage that calls; return in the fork what is to be done, else None."""
    answering = 0
    for modules in needed:
        for module in modules:
            if select.select([pipeline], [], [], 0)[0]:
                break
            importlib.import_module(module)
        models = sys.modules.get("dnapair.tracking.native_models")
        if models:
            models.read_packages()
        # what is there now is shared with the children for good
        gc.freeze()
        # until the rest is there too, a fork answers
        before, answering = answering, 0 if modules is needed[-1] else os.fork()
        if not answering:
            break
        if before:
            os.waitpid(before, 0)
    gc.enable()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with _listen(address) as listener:
        if before:
            # who has called it, and is not heard yet, works alone; it may have ended with DVC's process
            with suppress(ProcessLookupError):
                os.kill(before, signal.SIGKILL)
        line = _wait(listener, pipeline)
    if line is not None:
        return _mind(line)
    address.unlink(missing_ok=True)
    return None


def _listen(address: Path) -> socket.socket:
    """Listen at an address, in the place of who did so before."""
    listener = socket.socket(socket.AF_UNIX)
    new = address.with_suffix(".new")
    listener.bind(str(new))
    listener.listen()
    new.rename(address)
    return listener


def _wait(listener: socket.socket, pipeline: int) -> socket.socket | None:
    """Fork for each stage that calls; return its line in the fork, None in the end."""
    while pipeline not in select.select([pipeline, listener.fileno()], [], [])[0]:
        line = listener.accept()[0]
        if not os.fork():
            return line
        line.close()
    return None


def _mind(line: socket.socket) -> dict[str, Any]:
    """Fork for the work, tell what became of it and end; return in the fork what is to be done."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    size, streams, _, _ = socket.recv_fds(line, 8, 3)
    with line.makefile("rb") as stream:
        order: dict[str, Any] = json.loads(stream.read(int.from_bytes(size, "big")))
    parent, child = os.getpid(), os.fork()
    if not child:
        line.close()
        return order | {"streams": streams, "parent": parent}
    for descriptor in streams:
        os.close(descriptor)
    ended = os.pidfd_open(child)
    # the stage may have been killed
    with suppress(OSError):
        line.sendall(b"%d\n" % child)
    if ended not in select.select([line.fileno(), ended], [], [])[0]:
        os.kill(child, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    with suppress(OSError):
        line.sendall(b"%d\n" % status)
    # what is to be done at the end is the work's or the parent's
    os._exit(0)


def _become(order: dict[str, Any]) -> None:
    """Take over what makes a process the one that was asked."""
    end_with_parent(order["parent"])
    for descriptor, place in zip(order["streams"], range(3), strict=True):
        os.dup2(descriptor, place)
        os.close(descriptor)
    # as they would be from the start: what may be sought in and what is a terminal is found out then
    sys.stdin = os.fdopen(0, closefd=False)
    sys.stdout = _open(1, line_buffered=os.isatty(1))
    sys.stderr = _open(2, line_buffered=True)
    signal.signal(signal.SIGINT, signal.default_int_handler if order["interrupts"] else signal.SIG_IGN)
    os.environ.clear()
    os.environ.update(order["environment"])
    os.chdir(order["folder"])
    sys.argv = order["words"]


def _open(place: int, line_buffered: bool) -> TextIO:
    plain = sys.stdout if place == 1 else sys.stderr
    return os.fdopen(place, "w", 1 if line_buffered else -1, plain.encoding, plain.errors, closefd=False)


if __name__ == "__main__":
    program(main)
