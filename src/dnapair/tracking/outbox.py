"""What is to be recorded in MLflow, sent while the work goes on; what can't be sent is kept, and sent later.

A server that restarts, hangs or is gone must not end hours of training, nor make it wait: calls are put in a
queue that one thread sends, in order. What is left when the work is done is written to a folder, from which
the next command that reaches the same store sends it.
"""

import hashlib
import os
import shutil
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
from mlflow.entities import LoggedModelOutput, Metric, Param, RunTag
from mlflow.models import Model

from dnapair.storage.files import atomic_folder, read_json, write_json
from dnapair.tracking.store import reason
from dnapair.tracking.tags import PARENT_TAG, PATIENCE_VARIABLE

UNSENT = Path("artifacts/unsent")
"""What could not be sent to the tracking store, until the next command that reaches it."""
_RECORD = "record.json"
_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 15.0
_BATCH = 100
"""Params, metrics and tags that a request of MLflow's may hold in any store."""

Call = dict[str, Any]
"""The keys ``do`` (what to call) and ``run`` (a run's id, or a name by :meth:`Outbox.start`), and values."""


class Outbox:
    """A queue of calls to MLflow and the thread that sends them.

    Parameters
    ----------
    kept
        Folder of what could not be sent.
    """

    def __init__(self, kept: Path) -> None:
        self._kept = kept
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
        run = f"new-{uuid.uuid4().hex}"
        self.put("start", run, experiment=experiment, name=name, tags=tags, parent=parent, time=now())
        return run

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
            left, self._queue = self._queue, []
        if left:
            self._keep(left)
        for folder in self._scratch:
            folder.cleanup()
        return not left

    def _send_all(self) -> None:
        client = mlflow.MlflowClient()
        pause = _FIRST_PAUSE
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._queue or self._deadline is not None)
                if not self._queue:
                    return
                call = self._queue[0]
            try:
                deliver(client, call, self._ids)
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
    client = mlflow.MlflowClient()
    for folder in sorted(path for path in kept.glob("[!.]*") if path.is_dir()):
        record = read_json(folder / _RECORD)
        if record["store"] != _store():
            continue
        try:
            while record["calls"]:
                call = record["calls"][0]
                placed = call | ({"path": str(folder / call["path"])} if "path" in call else {})
                deliver(client, placed, record["runs"])
                del record["calls"][0]
        # one record that a store refuses must not stop all later work
        except Exception as error:
            write_json(folder / _RECORD, record)
            tell(f"The record kept in {folder} can't be sent: {reason(error)} Delete it to forget it.")
        else:
            shutil.rmtree(folder)
            tell("The record that an earlier command had to keep is sent.")


def deliver(client: mlflow.MlflowClient, call: Call, ids: dict[str, str]) -> None:
    """Make a call; a run that it starts is added to ``ids``, its id by its name."""
    run: str = call["run"]
    _DELIVER[call["do"]](client, ids.get(run, run), call, ids)


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
    # a hash: its address may hold a password
    return hashlib.sha256(mlflow.get_tracking_uri().encode()).hexdigest()


def _start(client: mlflow.MlflowClient, run: str, call: Call, ids: dict[str, str]) -> None:
    parent = ids.get(call["parent"], call["parent"])
    tags = call["tags"] | {PARENT_TAG: parent}
    made = client.create_run(call["experiment"], call["time"], tags, call["name"])
    ids[call["run"]] = str(made.info.run_id)


def _log(client: mlflow.MlflowClient, run: str, call: Call, ids: dict[str, str]) -> None:
    metrics = [Metric(key, value, call["time"], call["step"]) for key, value in call["metrics"].items()]
    params = [Param(key, value) for key, value in call["params"].items()]
    tags = [RunTag(key, value) for key, value in call["tags"].items()]
    for start in range(0, max(len(metrics), len(params), len(tags)), _BATCH):
        part = slice(start, start + _BATCH)
        client.log_batch(run, metrics=metrics[part], params=params[part], tags=tags[part])


def _files(client: mlflow.MlflowClient, run: str, call: Call, ids: dict[str, str]) -> None:
    if Path(call["path"]).is_dir():
        client.log_artifacts(run, call["path"], call["folder"])
    else:
        client.log_artifact(run, call["path"], call["folder"])


def _model(client: mlflow.MlflowClient, run: str, call: Call, ids: dict[str, str]) -> None:
    folder = Path(call["path"])
    found = client.get_run(run)
    if "model" not in call:
        made = client.create_logged_model(
            found.info.experiment_id, call["name"], source_run_id=run, params=found.data.params
        )
        # so that a second attempt fills this one
        call["model"] = made.model_id
    model = client.get_logged_model(call["model"])
    client.log_outputs(run, [LoggedModelOutput(model.model_id, step=0)])
    # those that are no epoch's, as MLflow's own log_model has them
    logged = [one for name in found.data.metrics for one in client.get_metric_history(run, name)]
    own = {"model_id": model.model_id, "run_id": run}
    client.log_batch(
        run, metrics=[Metric(one.key, one.value, one.timestamp, 0, **own) for one in logged if not one.step]
    )
    description = Model.load(str(folder))
    description.run_id, description.model_id, description.model_uuid = run, model.model_id, model.model_id
    description.artifact_path = model.artifact_location
    description.save(str(folder / "MLmodel"))
    client.log_model_artifacts(model.model_id, str(folder))
    client.finalize_logged_model(model.model_id, "READY")


def _end(client: mlflow.MlflowClient, run: str, call: Call, ids: dict[str, str]) -> None:
    client.set_terminated(run, call["status"], call["time"])
    if call.get("drop") in client.get_run(run).data.tags:
        client.delete_tag(run, call["drop"])


def _end_trial(client: mlflow.MlflowClient, run: str, call: Call, ids: dict[str, str]) -> None:
    left_open = f"tags.`{call['tag']}` = '{call['trial']}' and attributes.status = 'RUNNING'"
    for found in client.search_runs([call["experiment"]], left_open):
        client.set_terminated(found.info.run_id, "KILLED")


_DELIVER: dict[str, Callable[[mlflow.MlflowClient, str, Call, dict[str, str]], None]] = {
    "start": _start,
    "log": _log,
    "files": _files,
    "model": _model,
    "end": _end,
    "end trial": _end_trial,
}
