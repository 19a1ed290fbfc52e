"""`dnapair tune` as a chief and its workers, each a process of its own."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import mlflow
import pytest
from mlflow.entities import Run

from dnapair.tracking.tags import PROCESS_TAG, STAGE_TAG, TRIAL_TAG
from tests.pipeline.conftest import Project, copy_project, write_small_data
from tests.waiting import PATIENCE, Gate, reserved_port, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]
TRIALS = 12
TUNE = """
import sys
from dnapair import cli
from dnapair.machine.environment import set_environment
set_environment()
from dnapair.training import tuning

train_trial = tuning.train_trial

def begun(*arguments):
    sys.audit("dnapair.trial")
    return train_trial(*arguments)

tuning.train_trial = begun
sys.argv = ["dnapair", "tune"]
cli.main()
"""
"""`dnapair tune`, where a gate can stand before each trial whose run is begun."""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = copy_project(tmp_path_factory.mktemp("tuning") / "project")
    project.set({"tune.trials": TRIALS, "tune.epochs": 3, "tune.method": "random"})
    write_small_data(project.root / "data")
    for stage in ("prepare", "finetune", "embed", "interact", "scale"):
        project.run("dnapair", stage)
    return project


@pytest.fixture
def start(project: Project) -> Iterator[Callable[[str, Gate | None], subprocess.Popen]]:
    """Start `dnapair tune` under an id; whatever is left of them in the end is killed."""
    started = []
    with reserved_port() as port:

        def start(name: str, gate: Gate | None = None) -> subprocess.Popen:
            env = project.env | {
                "KERASTUNER_TUNER_ID": name,
                "KERASTUNER_ORACLE_IP": "127.0.0.1",
                "KERASTUNER_ORACLE_PORT": str(port),
            }
            command = [sys.executable, "-c", TUNE]
            env = gate.put_into(env) if gate else env
            started.append(subprocess.Popen(command, cwd=project.root, env=env))
            return started[-1]

        yield start
        for process in started:
            process.kill()
            process.wait()


def trial_runs(project: Project) -> list[Run]:
    client = mlflow.MlflowClient(project.tracking_uri)
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    return [run for run in client.search_runs(experiments) if TRIAL_TAG in run.data.tags]


def of_process(runs: list[Run], process: subprocess.Popen) -> list[Run]:
    return [run for run in runs if run.data.tags[PROCESS_TAG].split(":")[1] == str(process.pid)]


def test_workers_share_the_trials_and_a_killed_one_loses_nothing(project: Project, start, tmp_path: Path):
    gates = [Gate(tmp_path / name, "dnapair.trial", "") for name in ("killed", "other", "again")]
    chief, killed, other = start("chief"), start("worker0", gates[0]), start("worker1", gates[1])
    gates[0].wait(killed)
    wait_for(lambda: [run.info.status for run in of_process(trial_runs(project), killed)] == ["RUNNING"])
    killed.kill()
    again = start("worker0", gates[2])
    # so that both have a trial before one of them has done all
    for gate, worker in zip(gates[1:], (other, again), strict=True):
        gate.wait(worker)
    for gate in gates[1:]:
        gate.open()
    assert [process.wait(PATIENCE) for process in (again, other, chief)] == [0, 0, 0]

    runs = trial_runs(project)
    finished = [run for run in runs if run.info.status == "FINISHED"]
    numbers = [int(run.data.tags[TRIAL_TAG].split("/")[1]) for run in finished]
    # the chief tries the given values with each of the inputs, and hands out the others
    first = {1, 2, 3}
    total = len(first) + TRIALS - 1
    assert sorted(numbers) == list(range(1, total + 1))
    assert [run.info.status for run in of_process(runs, killed) if run not in finished] == ["KILLED"]
    assert of_process(finished, chief) == [run for run in finished if numbers[finished.index(run)] in first]
    assert of_process(finished, again)
    assert of_process(finished, other)

    client = mlflow.MlflowClient(project.tracking_uri)
    (parent,) = {run.data.tags["mlflow.parentRunId"] for run in runs}
    assert client.get_run(parent).data.tags[STAGE_TAG] == "tune"
    assert client.get_run(parent).info.status == "FINISHED"
    best = json.loads((project.root / "reports/best_hyperparameters.json").read_text())
    scores = [trial["val_pr_auc"] for trial in best["trials"]]
    logged = dict(zip(numbers, (run.data.metrics["val_pr_auc"] for run in finished), strict=True))
    assert len(scores) == total
    assert best["chosen"] == scores.index(max(scores))
    inputs = [trial["inputs"] for trial in best["trials"]]
    better = max(best["inputs"], key=best["inputs"].get)
    assert inputs == [*best["inputs"], *[better] * (TRIALS - 1)]
    assert all(logged[number] <= score + 1e-6 for number, score in enumerate(scores, start=1))
    assert not list((project.root / "artifacts/tuning").iterdir())


def test_half_of_the_variables_is_told(project: Project):
    project.env["KERASTUNER_TUNER_ID"] = "chief"
    try:
        message = project.run("dnapair", "tune", fails=True)
    finally:
        del project.env["KERASTUNER_TUNER_ID"]
    assert "KERASTUNER_ORACLE_IP and KERASTUNER_ORACLE_PORT not set" in message
    assert "Traceback" not in message
