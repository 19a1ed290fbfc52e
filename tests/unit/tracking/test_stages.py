"""Runs of a pipeline, its stages and their trials, and how they are found again."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import mlflow
import pytest

from dnapair import tracking
from dnapair.commands import compare
from dnapair.errors import DnapairError
from dnapair.tracking import system_metrics
from dnapair.tracking.tags import OUTPUT_TAG, PARENT_TAG, STAGES_TAG
from tests.waiting import wait_for

# MLflow uses what SQLAlchemy is about to drop
pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")
PREDICTIONS = "label,unit1,probability\n" + "".join(
    f"{row % 2},{row % 4},{(row % 2 + row / 20) / 2}\n" for row in range(20)
)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with its tables made, which takes seconds."""
    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    mlflow.MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def client(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[mlflow.MlflowClient]:
    shutil.copy(template, tmp_path / "mlflow.db")
    monkeypatch.chdir(tmp_path)
    # MLflow and the stages change them
    for name in ("MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID"):
        monkeypatch.setenv(name, "")
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/mlflow.db")
    yield mlflow.MlflowClient()
    mlflow.set_tracking_uri(before)


@pytest.fixture
def identities(tmp_path: Path) -> dict[str, Path]:
    return {name: tmp_path / f"{name}.txt" for name in ("tune", "evaluate@torch", "evaluate@tensorflow")}


def evaluate(framework: str, identities: dict[str, Path], tested: str) -> None:
    stage = f"evaluate@{framework}"
    with tracking.stage_run(stage, {"evaluate.folds": 0}, identities) as run:
        identities[stage].write_text(framework)
        Path("predictions.csv").write_text(PREDICTIONS)
        run.log_metrics({"test/threshold": 0.5})
        run.set_tags({tracking.TESTED_TAG: tested})
        run.log_file(Path("predictions.csv"), "reports")
        run.describe(f"{framework} is measured.\nMore.")


def test_a_pipeline_is_linked_with_its_stages_and_leads_to_its_evaluations(
    client: mlflow.MlflowClient,
    identities: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with tracking.pipeline_run(["all"], {"train": {"epochs": 3}, "serve": {"port": 1}}) as parent:
        pass
    assert client.get_run(parent).data.params == {"train.epochs": "3"}
    monkeypatch.setenv(tracking.PARENT_VARIABLE, parent)
    for framework in ("torch", "tensorflow"):
        evaluate(framework, identities, "the same pairs")
    found = client.get_run(parent)
    assert "torch is measured." in found.data.tags["mlflow.note.content"]
    assert "More" not in found.data.tags["mlflow.note.content"]
    evaluations = tracking.find_evaluations(parent[:12])
    assert list(evaluations) == ["evaluate@torch", "evaluate@tensorflow"]
    assert found.data.tags[STAGES_TAG].count(evaluations["evaluate@torch"].run.info.run_id) == 1
    torch = tracking.find_evaluations("evaluate torch")["evaluate@torch"]
    assert (torch.tested, torch.threshold) == ("the same pairs", 0.5)
    assert torch.run.data.tags[PARENT_TAG] == parent
    assert torch.run.data.tags.keys() >= {OUTPUT_TAG}
    assert torch.predictions().read_text() == PREDICTIONS
    compare.run("evaluate torch", "evaluate tensorflow")
    said = capsys.readouterr().out
    assert "20 test pairs" in said
    assert "PR-AUC" in said
    with pytest.raises(DnapairError, match="no run with the id or name 'nobody'"):
        tracking.find_evaluations("nobody")
    evaluate("tensorflow", identities, "others")
    with pytest.raises(DnapairError, match="were not tested on the same pairs"):
        compare.run("evaluate torch", "evaluate tensorflow")


def test_a_search_is_joined_while_it_is_open_and_a_failure_is_described(
    client: mlflow.MlflowClient, identities: dict[str, Path]
) -> None:
    def give_up(run: tracking.StageRun) -> None:
        run.lead_search("study")
        assert run.outbox
        run.outbox.settle()
        with tracking.trial_run(tracking.join_search("study"), "study", 1, {"widths": 2}) as trial:
            trial.log_metrics({"val_pr_auc": 0.5})
        raise DnapairError("it is no use")

    with (
        pytest.raises(DnapairError, match="no use"),
        tracking.stage_run("tune", {"tune.trials": 1}, identities) as run,
    ):
        give_up(run)
    found = client.get_run(run.run_id)
    assert (found.info.status, found.data.tags["mlflow.note.content"]) == ("FAILED", "Failed: it is no use")
    (trial,) = client.search_runs([run.experiment], "attributes.run_name = 'trial 1'")
    assert (trial.info.status, trial.data.tags[PARENT_TAG]) == ("FINISHED", run.run_id)
    with pytest.raises(DnapairError, match="has no chief"):
        tracking.join_search("study")


@pytest.mark.parametrize(("asked", "measured"), [(None, True), ("true", True), ("false", False)])
def test_what_the_machine_did_stands_on_the_runs_of_long_stages(
    client: mlflow.MlflowClient,
    identities: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
    asked: str | None,
    measured: bool,
):
    # the wait for those that nobody asked for
    monkeypatch.setattr(system_metrics, "_LONG_S", 0.0 if asked is None else 3600.0)
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.1")
    if asked is None:
        monkeypatch.delenv("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", raising=False)
    else:
        monkeypatch.setenv("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", asked)
    with tracking.stage_run("tune", {}, identities) as run:
        identities["tune"].write_text("tuned")
        found = {"system/cpu_utilization_percentage", "system/system_memory_usage_megabytes"}
        if measured:
            wait_for(lambda: found <= set(client.get_run(run.run_id).data.metrics))
    ended = client.get_run(run.run_id)
    assert ended.info.status == "FINISHED"
    if not measured:
        assert not ended.data.metrics
