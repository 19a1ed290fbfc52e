"""What is to be recorded in MLflow, sent while the work goes on; what can't be sent is kept, and sent later.

A server that restarts, hangs or is gone must not end hours of training, nor make it wait: calls are put in a
queue that one thread sends, in order. What is left when the work is done is written to a folder, from which
the next command that reaches the same store sends it.
"""

import os
import shutil
import signal
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dnapair.storage.files import atomic_folder, read_json, write_json
from dnapair.tracking.client import ask
from dnapair.tracking.tags import PATIENCE_VARIABLE
from dnapair.tracking.wording import reason

UNSENT = Path("artifacts/unsent")
"""What could not be sent to the tracking store, until the next command that reaches it."""
_RECORD = "record.json"
_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 15.0
_LOOK_PAUSE = 0.05
_NAMED = ("run", "parent", "experiment")
_NEW = "new-"
RUN, PIPELINE, EXPERIMENT = (f"{_NEW}{name}" for name in ("run", "pipeline", "experiment"))
"""Names of a stage's own run, its pipeline's and its experiment, until they are known."""

Call = dict[str, Any]
"""The keys ``do`` (what to call) and ``run`` (a run's id, or a name by :meth:`Outbox.start`), and values."""


class _RefusedInterrupt(KeyboardInterrupt):
    """Ends work that the store refuses to record."""


class Outbox:
    """A queue of calls to MLflow and the thread that sends them.

    Parameters
    ----------
    kept
        Folder of what could not be sent.
    begin
        Done before anything is sent; returns ids of runs by the names that calls mean them by. What it raises
        is raised by :meth:`begun` and :meth:`identify`, and ends :meth:`interrupting`.
    """

    def __init__(self, kept: Path, begin: Callable[[], dict[str, str]] | None = None) -> None:
        self._kept = kept
        self._begin = begin
        self._refusal: Exception | None = None
        self._interrupts = self._interrupted = False
        self._queue: list[Call] = []
        self._ids: dict[str, str] = {}
        self._scratch: list[tempfile.TemporaryDirectory[str]] = []
        self._failure: Exception | None = None
        self._deadline: float | None = None
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._send_all, name="outbox", daemon=True)
        self._thread.start()

    def put(self, do: str, run: str, **values: Any) -> None:
        """Have a call sent; returns at once."""
        with self._changed:
            self._queue.append({"do": do, "run": run, **values})
            self._changed.notify()

    def scratch(self) -> Path:
        """Make a folder that lasts until the outbox is closed."""
        self._scratch.append(tempfile.TemporaryDirectory())
        return Path(self._scratch[-1].name)

    def start(self, experiment: str, name: str, tags: dict[str, str], parent: str) -> str:
        """Have a run made; return the name by which calls of this outbox mean it."""
        run = f"{_NEW}{uuid.uuid4().hex}"
        self.put("start", run, experiment=experiment, name=name, tags=tags, parent=parent, time=now())
        return run

    @property
    def refusal(self) -> Exception | None:
        """What kept it from beginning."""
        return self._refusal

    @contextmanager
    def interrupting(self) -> Iterator[None]:
        """Interrupt the main thread, if it is in this block, once it can't begin."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        # nobody else sends it, and it ends none that has no handler
        signal.signal(signal.SIGURG, self._interrupt)
        hook = sys.unraisablehook

        def hear(lost: "sys.UnraisableHookArgs") -> None:
            if isinstance(lost.exc_value, _RefusedInterrupt):
                self._interrupted = False
            else:
                hook(lost)

        # one that strikes in a callback of Python's own is lost there, and has to come again
        sys.unraisablehook = hear
        try:
            self._interrupts = True
            if self._refusal:
                self._interrupt()
            yield
        finally:
            self._interrupts = False
            sys.unraisablehook = hook

    def begun(self) -> None:
        """Wait until it has begun.

        Raises
        ------
        Exception
            What kept it from beginning.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._begin is None or self._refusal)
        if self._refusal:
            raise self._refusal

    def identify(self, name: str) -> str:
        """Return the id of what calls mean by this name, once it is known."""
        if not name.startswith(_NEW):
            return name
        with self._changed:
            self._changed.wait_for(lambda: name in self._ids or self._refusal)
        if self._refusal:
            raise self._refusal
        return self._ids[name]

    def settle(self) -> None:
        """Wait until all is sent, or the store does not answer: call it before what ends here is kept."""
        with self._changed:
            self._changed.wait_for(lambda: not self._queue or self._failure is not None)

    def close(self, patience: float) -> bool:
        """Wait until all is sent, and keep what is not.

        Parameters
        ----------
        patience
            Seconds to wait for a store that does not answer.

        Returns
        -------
        bool
            Whether all is sent. If not, how it goes on has been said.
        """
        with self._changed:
            self._deadline = time.monotonic() + patience
            self._changed.notify()
        # while the store answers there is no limit: files may be large
        while self._thread.is_alive() and not (self._failure and time.monotonic() > self._deadline):
            self._thread.join(0.1)
        with self._changed:
            left, self._queue = ([] if self._refusal else self._queue), []
        if left:
            self._keep(left)
        for folder in self._scratch:
            folder.cleanup()
        return not left

    def _send_all(self) -> None:
        if self._begin is not None and not self._has_begun(self._begin):
            return
        pause = _FIRST_PAUSE
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._queue or self._deadline is not None)
                if not self._queue:
                    return
                call = self._queue[0]
            try:
                deliver(call, self._ids)
            # whatever it is, the work goes on
            except Exception as error:
                if self._failure is None:
                    tell(f"The record of this run can't be sent: {reason(error)} The work goes on.")
                with self._changed:
                    self._failure = error
                    self._changed.notify_all()
                    if self._deadline is not None and time.monotonic() > self._deadline:
                        return
                    if self._deadline is None:
                        self._changed.wait_for(lambda: self._deadline is not None, pause)
                if self._deadline is not None:
                    time.sleep(_FIRST_PAUSE)
                pause = min(2 * pause, _LONGEST_PAUSE)
            else:
                if self._failure is not None:
                    tell("The record of this run is being sent again.")
                pause = _FIRST_PAUSE
                with self._changed:
                    self._failure = None
                    # empty where it was closed meanwhile
                    del self._queue[:1]
                    self._changed.notify_all()

    def _has_begun(self, begin: Callable[[], dict[str, str]]) -> bool:
        try:
            ids = begin()
        # the main thread raises it
        except Exception as error:
            with self._changed:
                self._refusal = error
                self._queue = []
                self._changed.notify_all()
            while self._interrupts:
                if not self._interrupted:
                    # a signal, which wakes it from a wait too
                    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGURG)
                time.sleep(_LOOK_PAUSE)
            return False
        with self._changed:
            self._ids |= ids
            self._begin = None
            self._changed.notify_all()
        return True

    def _interrupt(self, *_: object) -> None:
        # it may come late, or twice
        if self._interrupts and not self._interrupted:
            self._interrupted = True
            raise _RefusedInterrupt

    def _keep(self, left: list[Call]) -> None:
        folder = self._kept / f"{len(list(self._kept.glob('*'))):04d}-{uuid.uuid4().hex[:8]}"
        with atomic_folder(folder) as temporary:
            for number, call in enumerate(left):
                if "path" in call:
                    source, target = Path(call["path"]), temporary / str(number) / Path(call["path"]).name
                    target.parent.mkdir()
                    (shutil.copytree if source.is_dir() else shutil.copy)(source, target)
                    call["path"] = str(target.relative_to(temporary))
            write_json(temporary / _RECORD, {"store": _store(), "runs": self._ids, "calls": left})
        why = f": {reason(self._failure)}" if self._failure else "."
        tell(
            f"{len(left)} calls of this run's record could not be sent{why} They are kept in {folder}, and "
            "the next stage or `dnapair run` that reaches the same tracking store sends them."
        )


def send_kept(kept: Path) -> None:
    """Send what earlier commands had to keep for the present store; what fails again stays, and is told."""
    for folder in sorted(path for path in kept.glob("[!.]*") if path.is_dir()):
        record = read_json(folder / _RECORD)
        if record["store"] != _store():
            continue
        try:
            while record["calls"]:
                call = record["calls"][0]
                placed = call | ({"path": str(folder / call["path"])} if "path" in call else {})
                deliver(placed, record["runs"])
                del record["calls"][0]
        # one record that a store refuses must not stop all later work
        except Exception as error:
            write_json(folder / _RECORD, record)
            tell(f"The record kept in {folder} can't be sent: {reason(error)} Delete it to forget it.")
        else:
            shutil.rmtree(folder)
            tell("The record that an earlier command had to keep is sent.")


def deliver(call: Call, ids: dict[str, str]) -> None:
    """Make a call; a run that it starts is added to ``ids``, its id by its name."""
    values = call | {name: ids.get(call[name], call[name]) for name in _NAMED if name in call}
    do = values.pop("do")
    if do == "start":
        del values["run"]
        ids[call["run"]] = ask("start", **values)
    elif do == "model":
        # so that a second attempt fills this one
        if "model" not in call:
            call["model"] = ask("make model", run=values["run"], name=call["name"])
        ask("fill model", run=values["run"], path=call["path"], model=call["model"], val=call.get("val"))
    else:
        ask(do, **values)


def patience() -> float:
    """Return how many seconds a finished stage waits for a tracking store that does not answer."""
    return float(os.environ.get(PATIENCE_VARIABLE, "60"))


def tell(message: str) -> None:
    """Say what became of the record."""
    print(f"dnapair: {message}", file=sys.stderr, flush=True)


def now() -> int:
    """Return the time in milliseconds, as MLflow wants it."""
    return time.time_ns() // 1_000_000


def _store() -> str:
    return str(ask("store"))
