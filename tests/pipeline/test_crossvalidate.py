"""`dnapair crossvalidate`: folds as nested runs, kept by a run that is killed."""

import json
import shutil
import subprocess
from pathlib import Path

import mlflow
import numpy as np
import pyarrow.parquet as pq
import pytest
from mlflow.entities import Run

from dnapair.tracking.tags import STAGE_TAG, TRIAL_TAG
from tests.pipeline.conftest import Project, copy_project, write_small_data
from tests.waiting import Gate

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]
FOLDS = 3


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = copy_project(tmp_path_factory.mktemp("folds") / "project")
    project.set({"evaluate.folds": FOLDS, "tune.trials": 0})
    # many genomes: few pairs of two have both in one fold
    write_small_data(project.root / "data", genomes=120)
    for stage in ("prepare", "finetune", "embed", "interact", "scale", "tune"):
        project.run("dnapair", stage)
    return project


def runs(project: Project) -> dict[str, list[Run]]:
    """Runs of the cross-validation and of its folds, the newest first."""
    client = mlflow.MlflowClient(project.tracking_uri)
    found = client.search_runs([experiment.experiment_id for experiment in client.search_experiments()])
    stages = [run for run in found if run.data.tags.get(STAGE_TAG) == "crossvalidate"]
    ids = {run.info.run_id for run in stages}
    return {
        "stages": stages,
        "folds": [run for run in found if run.data.tags.get("mlflow.parentRunId") in ids],
    }


def report(project: Project) -> dict:
    return json.loads((project.root / "reports" / "folds.json").read_text())


def test_a_killed_cross_validation_keeps_what_is_finished(project: Project, tmp_path: Path):
    work = project.root / "artifacts" / "folds"
    # the second fold is at work: each has a folder for what it cuts
    gate = Gate(tmp_path / "gate", "tempfile.mkdtemp", "artifacts/folds/", turn=2)
    command = ["dnapair", "crossvalidate"]
    with subprocess.Popen(command, cwd=project.root, env=gate.put_into(project.env)) as killed:
        gate.wait(killed)
        killed.kill()
    kept = {path.name: path.read_text() for path in work.glob("*/fold_*.json")}
    assert list(kept) == ["fold_1.json"]
    assert not (project.root / "reports" / "folds.json").exists()
    project.run("dnapair", "crossvalidate")
    for name, text in kept.items():
        assert report(project)["each"][int(name[5]) - 1] == json.loads(text)
    found = runs(project)
    assert [run.info.status for run in found["stages"]] == ["FINISHED", "KILLED"]
    finished = [run.data.tags[TRIAL_TAG] for run in found["folds"] if run.info.status == "FINISHED"]
    assert sorted(tag.split("/")[1] for tag in finished) == ["1", "2", "3"]
    assert not list(work.iterdir())
    shutil.copy(project.root / "reports" / "folds.json", project.root / "resumed.json")


def test_folds_are_reported_and_recorded_and_the_same_each_time(project: Project):
    project.run("dnapair", "crossvalidate")
    content = report(project)
    assert content == json.loads((project.root / "resumed.json").read_text())
    pairs = pq.read_table(project.root / "artifacts" / "dataset" / "pairs.parquet")
    assert content["groups"] == ["genome1", "genome2"]
    assert sum(fold["pairs"] for fold in content["each"]) + content["dropped_pairs"] == pairs.num_rows
    for fold in content["each"]:
        parts = (fold[name] for name in ("pairs", "train_pairs", "val_pairs", "left_out"))
        assert sum(parts) == pairs.num_rows
        assert 0 < fold["related"] < fold["pairs"]
    roc_auc = [fold["roc_auc"] for fold in content["each"]]
    assert content["mean"]["roc_auc"] == pytest.approx(np.mean(roc_auc))
    assert content["std"]["roc_auc"] == pytest.approx(np.std(roc_auc, ddof=1))
    found = runs(project)
    newest = found["stages"][0]
    folds = [run for run in found["folds"] if run.data.tags["mlflow.parentRunId"] == newest.info.run_id]
    assert sorted(run.info.run_name for run in folds) == ["fold 1", "fold 2", "fold 3"]
    logged = {run.info.run_name: run.data.metrics["test/roc_auc"] for run in folds}
    assert logged == {f"fold {number + 1}": value for number, value in enumerate(roc_auc)}
    assert newest.data.metrics["mean/roc_auc"] == content["mean"]["roc_auc"]
    assert (
        newest.data.metrics["std/cosine.pr_auc"] == content["baselines"]["embedding cosine"]["std"]["pr_auc"]
    )


def test_no_folds_are_said_at_once(project: Project):
    project.set({"evaluate.folds": 0})
    project.run("dnapair", "crossvalidate")
    assert report(project) == {"folds": 0}
    project.set({"evaluate.folds": FOLDS})
