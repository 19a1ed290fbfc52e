"""Runs of processes that have ended are marked, those of others that have one's host name are left alone."""

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import mlflow
import pytest

from dnapair import tracking
from dnapair.tracking.processes import end_killed_runs, this_process
from dnapair.tracking.store import select_experiment
from dnapair.tracking.tags import OLD_PROCESS_TAG, PARENT_TAG, PROCESS_TAG, TRIAL_TAG
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


@pytest.mark.parametrize("copied", [False, True])
def test_who_works_on_a_stage_again_ends_what_a_machine_left_that_went_down(
    client: mlflow.MlflowClient, tmp_path: Path, copied: bool
) -> None:
    elsewhere, alive = changed(boot="x"), changed(boot="y")
    experiment = select_experiment()
    pipeline, other = (client.create_run(experiment, tags={PROCESS_TAG: one}) for one in (elsewhere, alive))
    stage = client.create_run(experiment, tags={PROCESS_TAG: elsewhere, PARENT_TAG: pipeline.info.run_id})
    note = Path("artifacts/locks/tune.open")
    note.parent.mkdir(parents=True)
    note.touch()
    note.write_text(f"{note.stat().st_ino} {elsewhere}")
    if copied:
        # where it is copied from it may be at work still
        Path("artifacts").rename("original")
        shutil.copytree("original", "artifacts")
    identities = {"tune": tmp_path / "tune.txt"}
    with tracking.stage_run("tune", {}, identities) as run:
        identities["tune"].write_text("tuned")
        assert run.run_id
        found = [client.get_run(one.info.run_id).info.status for one in (pipeline, stage, other)]
        assert found == (["RUNNING"] * 3 if copied else ["KILLED", "KILLED", "RUNNING"])
        assert this_process() in note.read_text()
    assert not note.exists()


def test_two_that_search_by_the_same_settings_leave_each_others_trials_alone(
    client: mlflow.MlflowClient, tmp_path: Path
) -> None:
    def trials(of: str) -> list[str]:
        return [
            run.info.status
            for run in client.search_runs([experiment], f"tags.`{PARENT_TAG}` = '{of}'")
            if run.data.tags[TRIAL_TAG] == "study/1"
        ]

    identities = {"tune": tmp_path / "tune.txt"}
    identities["tune"].write_text("tuned")
    experiment = select_experiment()
    search, left = (client.create_run(experiment).info.run_id for _ in range(2))
    for parent in (search, left):
        client.create_run(experiment, tags={TRIAL_TAG: "study/1", PARENT_TAG: parent})
    client.set_terminated(left, "KILLED")
    with tracking.stage_run("tune", {}, identities) as stage:
        mine = stage.run_id
        # a worker of this search that ended and begins again
        client.create_run(experiment, tags={TRIAL_TAG: "study/1", PARENT_TAG: mine})
        with tracking.trial_run(stage, "study", 1, {}):
            pass
    assert [trials(of) for of in (search, left)] == [["RUNNING"], ["KILLED"]]
    assert sorted(trials(mine)) == ["FINISHED", "KILLED"]
