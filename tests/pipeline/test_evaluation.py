"""What the reports of a run say, and what they refuse to say."""

import json
import shutil
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest

from dnapair.storage.files import write_sums
from tests.pipeline.conftest import Project, copy_project, write_small_data
from tests.pipeline.test_pipeline import FRAMEWORKS, changed, read_json

# MLflow itself runs in these tests: what it warns of in its own code is not ours to mend
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]


def evaluations(project: Project) -> dict[str, mlflow.entities.Run]:
    client = mlflow.MlflowClient(project.tracking_uri, project.tracking_uri)
    runs = client.search_runs(
        [experiment.experiment_id for experiment in client.search_experiments()],
        "tags.`dnapair.stage` LIKE 'evaluate@%' and attributes.status = 'FINISHED'",
    )
    return {run.data.tags["dnapair.stage"]: run for run in runs}


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_report_holds_verdict_baselines_slices_audit_and_the_other_framework(
    finished: Project, framework: str
):
    folder = finished.root / "reports" / framework
    page = (folder / "report.html").read_text()
    baselines = read_json(finished.root / "artifacts/baselines/baselines.json")
    verdict = read_json(folder / "verdict.json")
    titles = {"torch": "PyTorch against TensorFlow", "tensorflow": "TensorFlow against PyTorch"}
    drawn = len(pd.read_parquet(finished.root / "artifacts/normalized/negatives.parquet"))
    assert drawn
    words = (
        verdict["headline"],
        *baselines,
        "sequences: none seen in training",
        titles[framework],
        f"Besides the train pairs it learnt from {drawn} unrelated ones",
    )
    assert [one for one in words if one not in page] == []
    findings = read_json(finished.root / "reports/audit.json")["findings"]
    assert findings
    card = (folder / "card.md").read_text()
    assert verdict["headline"] in card
    comparison = read_json(folder / "comparison.json")
    assert set(baselines) < set(comparison)
    for rival in comparison.values():
        gain = rival["gains"]["roc_auc"]
        assert gain["low"] <= gain["high"]
    run = evaluations(finished)[f"evaluate@{framework}"]
    assert run.data.tags["dnapair.verdict"] == verdict["headline"]
    metrics = read_json(folder / "metrics.json")
    assert run.data.metrics["test/roc_auc"] == pytest.approx(metrics["roc_auc"], abs=1e-6)
    assert {
        "test_versus_gain/embedding_cosine.pr_auc_low",
        "test_versus/embedding_cosine.pr_auc",
        "test_intervals/roc_auc_high",
        "test/ece",
        "test_uncalibrated/ece",
        "test_seeds/roc_auc_sd",
        "test_slices/sequences.none_seen_in_training.accuracy",
    } <= set(run.data.metrics)


def test_slices_hold_every_pair_once(finished: Project):
    slices = pd.read_csv(finished.root / "reports/torch/slices.csv")
    n = read_json(finished.root / "reports/torch/metrics.json")["n"]
    assert (slices.groupby("by")["pairs"].sum() == n).all()
    assert "GC content, mean (%)" in set(slices["by"])


def test_the_registered_version_carries_the_card_and_the_gates_reason(finished: Project):
    version = finished.first_version
    framework = version.tags["dnapair.framework"]
    assert version.description == (finished.root / f"reports/{framework}/card.md").read_text()
    assert version.tags["dnapair.champion"].startswith("yes: there is no champion yet")


def test_a_threshold_from_other_rows_than_validation_is_refused(finished: Project):
    test = pd.read_parquet(finished.root / "artifacts/scores/torch/test.parquet")["probability"]
    training = finished.root / "artifacts/models/torch/training.json"
    kept = training.read_text()
    content = json.loads(kept)
    content["threshold"] = float(np.quantile(test, 0.2))
    training.unlink()
    training.write_text(json.dumps(content))
    write_sums(training.parent)
    try:
        message = finished.run("dnapair", "evaluate", fails=True)
    finally:
        training.write_text(kept)
        finished.run("dvc", "checkout", "--force")
    assert "is not the one that the validation pairs give" in message
    assert "test pairs perhaps" in message
    assert "Traceback" not in message


def test_runs_are_compared_pair_by_pair(finished: Project):
    first, second = (run.info.run_id[:12] for run in evaluations(finished).values())
    output = finished.run("dnapair", "compare", first, second)
    for words in ("ROC-AUC", "calibration error", "difference (95 % interval)", "test pairs"):
        assert words in output
    same = finished.run("dnapair", "compare", first, first)
    assert "+0.000 (+0.000 to +0.000)" in same
    message = finished.run("dnapair", "compare", first, "nobody", fails=True)
    assert "no run with the id or name 'nobody'" in message


def test_a_certain_gate_keeps_an_uncertain_model_from_the_alias(finished: Project):
    client = mlflow.MlflowClient(finished.tracking_uri, finished.tracking_uri)
    before = client.get_model_version_by_alias("dnapair", "champion").version
    settings = {"register.baseline": "certain", "register.margin": 0.0, "train.learning_rate": 1e-6}
    with changed(finished, settings | {"train.epochs": 1, "tune.trials": 0}):
        output = finished.train_anew()
    assert "does not become champion" in output
    assert client.get_model_version_by_alias("dnapair", "champion").version == before
    refused = client.search_model_versions("name = 'dnapair'", order_by=["version_number DESC"])[0]
    assert refused.tags["dnapair.champion"].startswith("no: ")


def test_shuffled_labels_are_not_better_than_chance(tmp_path: Path):
    project = copy_project(tmp_path / "project")
    source = project.root / "datasets" / "small"
    write_small_data(source)
    table = pd.read_csv(source / "pairs.csv")
    rng = np.random.default_rng(1)
    for split in ("train", "val", "test"):
        inside = table.index[table["split"] == split]
        table.loc[inside, "label"] = rng.permutation(table.loc[inside, "label"].to_numpy())
    table.to_csv(source / "pairs.csv", index=False)
    shutil.copytree(source, project.root / "data")
    project.set({"tune.trials": 0, "train.repeats": 1})
    for stage in (
        "prepare",
        "finetune",
        "embed",
        "interact",
        "scale",
        "validate",
        "baselines",
        "crossvalidate",
    ):
        project.run("dnapair", stage)
    project.train_anew()
    for framework in FRAMEWORKS:
        page = (project.root / "reports" / framework / "report.html").read_text()
        assert "The network is not better than chance." in page
