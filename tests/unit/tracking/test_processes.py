"""Runs of processes that have ended are marked, those of others that have one's host name are left alone."""

import os
import socket
import subprocess
import sys

import mlflow
import pytest

from dnapair.tracking.processes import end_killed_runs, this_process
from dnapair.tracking.tags import OLD_PROCESS_TAG, PROCESS_TAG
from tests.unit.tracking.test_stages import client, template

__all__ = ["client", "template"]

# MLflow uses what SQLAlchemy is about to drop
pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")


@pytest.fixture(scope="module")
def ended() -> str:
    """The number of a process that is no more."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return str(process.pid)


def changed(**fields: str) -> str:
    names = ("host", "pid", "start", "boot", "numbers")
    return ":".join((dict(zip(names, this_process().split(":"), strict=True)) | fields).values())


def test_only_runs_whose_process_has_surely_ended_are_marked(client: mlflow.MlflowClient, ended: str) -> None:
    host = socket.gethostname()
    records = {
        "ended": (PROCESS_TAG, changed(pid=ended), "KILLED"),
        "number used again": (PROCESS_TAG, changed(start="0.00"), "KILLED"),
        "alive": (PROCESS_TAG, this_process(), "RUNNING"),
        "another container": (PROCESS_TAG, changed(pid=ended, numbers="1"), "RUNNING"),
        "another machine of this name": (PROCESS_TAG, changed(pid=ended, boot="x"), "RUNNING"),
        "another host": (PROCESS_TAG, changed(pid=ended, host=f"{host}x"), "RUNNING"),
        "of old, ended": (OLD_PROCESS_TAG, f"{host}:{ended}", "KILLED"),
        "of old, alive": (OLD_PROCESS_TAG, f"{host}:{os.getpid()}", "RUNNING"),
        "of old, another host": (OLD_PROCESS_TAG, f"{host}x:{ended}", "RUNNING"),
    }
    experiment = client.create_experiment("processes")
    runs = {
        name: client.create_run(experiment, tags={tag: value}) for name, (tag, value, _) in records.items()
    }
    end_killed_runs(experiment)
    found = {name: client.get_run(run.info.run_id).info.status for name, run in runs.items()}
    assert found == {name: status for name, (_, _, status) in records.items()}
