"""What MLflow holds after a pipeline run, and the ways to start one."""

import json
import re
from pathlib import Path

import mlflow
import pandas as pd
import pytest
import yaml
from mlflow.entities import Dataset, Run
from sklearn.metrics import average_precision_score

from dnapair.stages.paths import IDENTITIES
from dnapair.storage.files import sha256
from dnapair.tracking.tags import OUTPUT_TAG
from tests.pipeline.conftest import Project
from tests.pipeline.test_pipeline import FRAMEWORKS, changed, read_json
from tests.waiting import reserved_port

# MLflow itself runs in these tests: what it warns of in its own code is not ours to mend
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]

STAGES = {
    "prepare",
    "interact",
    "finetune",
    "embed",
    "scale",
    "validate",
    "tune",
    *(f"{stage}@{framework}" for stage in ("train", "score", "evaluate") for framework in FRAMEWORKS),
    "baselines",
    "register",
}
"""Those with a run of their own; without folds `crossvalidate` has nothing to record."""


class Record:
    """The runs of a project."""

    def __init__(self, project: Project) -> None:
        self.client = mlflow.MlflowClient(project.tracking_uri, project.tracking_uri)
        experiments = [experiment.experiment_id for experiment in self.client.search_experiments()]
        self.runs = self.client.search_runs(
            experiments, max_results=1000, order_by=["attributes.start_time ASC"]
        )

    def parents(self) -> list[Run]:
        return [run for run in self.runs if "mlflow.parentRunId" not in run.data.tags]

    def children(self, parent: Run) -> dict[str, Run]:
        found = [run for run in self.runs if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
        return {run.data.tags.get("dnapair.stage", run.info.run_name): run for run in found}

    def files(self, run: Run, folder: str | None = None) -> set[str]:
        found: set[str] = set()
        for item in self.client.list_artifacts(run.info.run_id, folder):
            found |= self.files(run, item.path) if item.is_dir else {item.path}
        return found


def settings(project: Project) -> dict[str, str]:
    def flatten(section: dict, prefix: str) -> dict[str, str]:
        flat = {}
        for key, value in section.items():
            flat |= (
                flatten(value, f"{prefix}{key}.")
                if isinstance(value, dict)
                else {f"{prefix}{key}": str(value)}
            )
        return flat

    content = yaml.safe_load((project.root / "params.yaml").read_text())
    # pretraining is no stage of the pipeline and has a run of its own, the server's settings are no stage's
    del content["pretrain"], content["serve"]
    return flatten(content, "")


def test_one_parent_a_child_for_each_stage_a_grandchild_for_each_trial(finished: Project):
    record = Record(finished)
    parent = record.parents()[0]
    children = record.children(parent)
    assert parent.info.status == "FINISHED"
    assert set(children) == STAGES
    assert {run.info.status for run in children.values()} == {"FINISHED"}
    trials = record.children(children["tune"])
    # the given values with each of the inputs, and what the tuner chose
    assert len(trials) == 4
    assert all("val_pr_auc" in trial.data.metrics for trial in trials.values())


def test_every_parameter_is_logged(finished: Project):
    record = Record(finished)
    logged: dict[str, str] = {}
    parent = record.parents()[0]
    for child in record.children(parent).values():
        # what was set, before a later stage says what became of it
        logged = child.data.params | logged
    wanted = settings(finished)
    assert {key: logged.get(key) for key in wanted} == wanted
    assert parent.data.params == wanted


def test_metrics_are_logged_per_epoch_and_at_the_end(finished: Project):
    record = Record(finished)
    parent = record.parents()[0]
    children = record.children(parent)
    for framework in FRAMEWORKS:
        trained = children[f"train@{framework}"]
        history = record.client.get_metric_history(trained.info.run_id, "epoch/val_pr_auc")
        assert [metric.step for metric in history] == [1, 2, 3]
        # the epochs are those of the first network, the score is that of the mean of all
        values = [metric.value for metric in history]
        assert trained.data.metrics["best_epoch"] == 1 + values.index(max(values))
        scores = pd.read_parquet(finished.root / "artifacts/scores" / framework / "val.parquet")
        labels = pd.read_parquet(finished.root / "artifacts/normalized/val.parquet")["label"]
        expected = average_precision_score(labels, scores["probability"])
        assert trained.data.metrics["val_pr_auc"] == pytest.approx(expected, abs=1e-6)
        assert scores["probability"].tolist() not in [scores[name].tolist() for name in ("seed_1", "seed_2")]
        metrics = json.loads((finished.root / "reports" / framework / "metrics.json").read_text())
        logged = children[f"evaluate@{framework}"].data.metrics
        metrics["pairs"] = metrics.pop("n")
        assert {key: logged[f"test/{key}"] for key in metrics} == pytest.approx(metrics, abs=1e-6)
        assert parent.data.metrics[f"{framework}/roc_auc"] == pytest.approx(metrics["roc_auc"], abs=1e-6)
    registration = json.loads((finished.root / "reports" / "registration.json").read_text())
    chosen = {key: value for key, value in parent.data.metrics.items() if key.startswith("chosen/")}
    assert chosen
    assert all(
        value == parent.data.metrics[key.replace("chosen", registration["framework"])]
        for key, value in chosen.items()
    )


def test_every_run_says_what_it_did(finished: Project):
    record = Record(finished)
    parent = record.parents()[0]
    children = record.children(parent)
    overview = parent.data.tags["mlflow.note.content"]
    shown = dict(re.findall(r"^- \[(.+?)\]\(#/.+?\): (.*)$", overview, re.MULTILINE))
    for stage, run in children.items():
        did = run.data.tags["mlflow.note.content"].splitlines()[0]
        words = shown[stage.replace("@", " ")]
        if words != did:
            # a long line is cut, at a word
            assert len(words) <= 300 < len(did)
            assert did.startswith(f"{words.removesuffix(' ...')} ")
    for run in (parent, *children.values()):
        # the name of the process is for runs that may still be killed
        assert "dnapair.open_process" not in run.data.tags
    assert all(trial.data.tags["mlflow.note.content"] for trial in record.children(children["tune"]).values())
    experiment = record.client.get_experiment(parent.info.experiment_id)
    assert "each run is a pipeline" in experiment.tags["mlflow.note.content"]


def test_data_commit_plots_reports_and_models_are_logged(finished: Project):
    record = Record(finished)
    parent = record.parents()[0]
    children = record.children(parent)
    digest = yaml.safe_load((finished.root / "data.dvc").read_text())["outs"][0]["md5"]
    commit = finished.run("git", "rev-list", "--max-parents=0", "HEAD").strip()
    for run in (parent, *children.values()):
        assert data_sets(run)["pipeline"].digest == digest[:8]
        assert run.data.tags["mlflow.source.git.commit"] == commit
    assert any(name.endswith("dataset.json") for name in record.files(children["prepare"]))
    assert any(name.endswith("validation.html") for name in record.files(children["validate"]))
    assert any(name.endswith("scaling.png") for name in record.files(children["scale"]))
    for framework in FRAMEWORKS:
        files = record.files(children[f"evaluate@{framework}"])
        assert {Path(name).name for name in files} >= {"roc.png", "pr.png", "confusion.png", "metrics.json"}
        assert children[f"train@{framework}"].outputs.model_outputs
    assert children["register"].outputs.model_outputs


def data_sets(run: Run) -> dict[str, Dataset]:
    """The data sets that a run got, by their context."""
    return {tag.value: given.dataset for given in run.inputs.dataset_inputs for tag in given.tags}


def test_splits_are_data_sets_by_which_models_are_ranked(finished: Project):
    record = Record(finished)
    parent = record.parents()[0]
    children = record.children(parent)
    splits = json.loads((finished.root / "reports" / "dataset.json").read_text())["splits"]
    known = data_sets(children["prepare"])
    contexts = {"train": "training", "val": "validation", "test": "testing"}
    for name, context in contexts.items():
        split = known[context]
        assert split.name == f"small {name}"
        assert json.loads(split.profile)["num_rows"] == splits[name]["pairs"]
        columns = [column["name"] for column in json.loads(split.schema)["mlflow_colspec"]]
        assert columns == ["seq1", "seq2", "label"]
    assert len({split.digest for split in known.values()}) == len(known)

    ids = {}
    for framework in FRAMEWORKS:
        trained, tested = children[f"train@{framework}"], children[f"evaluate@{framework}"]
        for run, names in ((trained, ("training", "validation")), (tested, ("testing",))):
            assert {name: data_sets(run)[name].digest for name in names} == {
                name: known[name].digest for name in names
            }
        (output,) = trained.outputs.model_outputs
        ids[framework] = output.model_id
        of_model = {one.key: one for one in record.client.get_logged_model(output.model_id).metrics}
        for name, run, context in (
            ("val_pr_auc", trained, "validation"),
            ("test/pr_auc", tested, "testing"),
            ("test_intervals/pr_auc_low", tested, "testing"),
        ):
            assert of_model[name].value == run.data.metrics[name]
            assert of_model[name].dataset_digest == known[context].digest
            assert of_model[name].run_id == run.info.run_id
    test = known["testing"]
    ranked = record.client.search_logged_models(
        [parent.info.experiment_id],
        order_by=[
            {
                "field_name": "metrics.test/pr_auc",
                "ascending": False,
                "dataset_name": test.name,
                "dataset_digest": test.digest,
            }
        ],
    )
    scores = [
        one.value
        for model in ranked
        for one in model.metrics or []
        if (one.key, one.dataset_digest) == ("test/pr_auc", test.digest)
    ]
    # both networks, and the one that was registered with the encoder
    assert len(scores) >= 3
    assert scores == sorted(scores, reverse=True)
    assert set(ids.values()) <= {model.model_id for model in ranked}


EVALUATE = """
import json, sys
import dnapair, mlflow

mlflow.set_tracking_uri("sqlite:///mlflow.db")
mlflow.set_experiment("dnapair")
model = dnapair.load_model(sys.argv[1]).classifier()
test = dnapair.read_pairs("datasets/small").query("split == 'test'")
data = mlflow.data.from_pandas(test, name="small test", targets="label")
said = mlflow.models.evaluate(model, data, model_type="classifier", evaluators="classifier")
logged = [(one.key, one.value, one.dataset_name) for one in mlflow.get_logged_model(model.model_id).metrics]
print("\\n" + json.dumps([{name: float(value) for name, value in said.metrics.items()}, logged]))
"""


@pytest.mark.parametrize("address", ["models:/dnapair@champion", "runs:/{run}/dnapair"])
def test_mlflows_own_classifier_evaluator_comes_to_our_metrics(finished: Project, address: str):
    champion = finished.first_version
    printed = finished.run("python", "-c", EVALUATE, address.format(run=champion.run_id))
    metrics, logged = json.loads(printed.splitlines()[-1])
    ours = read_json(finished.root / "reports" / champion.tags["dnapair.framework"] / "metrics.json")
    for theirs, name in {
        "accuracy_score": "accuracy",
        "precision_score": "precision",
        "recall_score": "recall",
        "f1_score": "f1",
        "roc_auc": "roc_auc",
        "precision_recall_auc": "pr_auc",
        "log_loss": "log_loss",
    }.items():
        # ours are rounded
        assert metrics[theirs] == pytest.approx(ours[name], abs=1e-6)
        assert [theirs, metrics[theirs], "small test"] in logged


def test_logged_models_have_signature_example_and_fixed_requirements(finished: Project):
    record = Record(finished)
    experiment = record.parents()[0].info.experiment_id
    models = record.client.search_logged_models([experiment])
    assert len(models) >= 3
    for model in models:
        folder = Path(model.artifact_location.removeprefix("file://"))
        folder = folder if folder.is_absolute() else finished.root / folder
        description = yaml.safe_load((folder / "MLmodel").read_text())
        assert description["signature"]["inputs"]
        assert description["saved_input_example_info"]
        requirements = (folder / "requirements.txt").read_text().split()
        assert requirements
        assert all("==" in line for line in requirements)
        pickles = [p for p in folder.rglob("*") if p.suffix in {".pkl", ".pickle", ".pth", ".joblib"}]
        assert pickles == []


def test_bare_dvc_repro_has_one_parent_too(finished: Project):
    before = len(Record(finished).parents())
    finished.run("dvc", "repro", "--force", "--single-item", "prepare", "validate")
    record = Record(finished)
    assert len(record.parents()) == before + 1
    assert set(record.children(record.parents()[-1])) == {"prepare", "validate"}
    assert record.parents()[-1].info.status == "FINISHED"


def test_failed_stage_is_recorded_as_failed(finished: Project):
    with changed(finished, {"checks.max_clipped_share": 0.0, "train.epochs": 2}):
        finished.run("dnapair", "run", fails=True)
        record = Record(finished)
        parent = record.parents()[-1]
        assert parent.info.status == "FAILED"
        validate = record.children(parent)["validate"]
        assert validate.info.status == "FAILED"
        assert validate.data.tags["mlflow.note.content"].startswith("Failed: 2 of ")


def test_mlflow_run_with_another_setting_does_what_it_must_and_finds_the_rest(finished: Project):
    with changed(finished, {}):
        output = finished.run("mlflow", "run", ".", "--env-manager", "local", "-P", "train.epochs=2")
        assert re.search(r"^train@torch +\d+ s$", output, re.MULTILINE)
        assert settings(finished)["train.epochs"] == "2"
        assert len((finished.root / "reports/torch/history.csv").read_text().splitlines()) == 3
        record = Record(finished)
        first, parent = record.parents()[0], record.parents()[-1]
        children = record.children(parent)
        assert parent.info.status == "FINISHED"
        assert set(children) == STAGES - {
            "prepare",
            "interact",
            "finetune",
            "embed",
            "scale",
            "validate",
            "tune",
            "baselines",
        }
        assert children["train@torch"].data.params["train.epochs"] == "2"
        made = sha256(finished.root / IDENTITIES["embed"])
        links = json.loads(parent.data.tags["dnapair.stages"])
        embedded = links["embed"]
        # whichever run made what is there: an earlier test on the same project may have made it again
        assert embedded in {run.info.run_id for run in record.runs if run.data.tags.get(OUTPUT_TAG) == made}
        assert embedded in parent.data.tags["mlflow.note.content"]
        assert links["train@torch"] == children["train@torch"].info.run_id
        # what is compared is told apart by name and settings
        assert parent.info.run_name.startswith("train.epochs=2 ")
        assert (first.data.params["train.epochs"], parent.data.params["train.epochs"]) == ("3", "2")


def test_mlflow_run_of_one_stage_in_an_environment_by_uv(finished: Project, tmp_path: Path):
    with changed(finished, {"scale.mode": "global"}):
        finished.env["MLFLOW_ENV_ROOT"] = str(tmp_path / "environments")
        finished.run("mlflow", "run", ".", "--env-manager", "uv", "-e", "embed")
        record = Record(finished)
        assert record.parents()[-1].info.status == "FINISHED"


def test_tracking_uri_is_obeyed(finished: Project, tmp_path: Path):
    uri = f"sqlite:///{tmp_path}/elsewhere.db"
    with changed(finished, {}):
        finished.env["MLFLOW_TRACKING_URI"] = uri
        try:
            finished.run("dnapair", "run")
        finally:
            del finished.env["MLFLOW_TRACKING_URI"]
    client = mlflow.MlflowClient(uri, uri)
    # nothing was stale, yet this store lacked the model: it is registered here too
    assert str(client.get_model_version_by_alias("dnapair", "champion").version) == "1"


def test_tracking_store_that_does_not_answer_is_one_message(finished: Project):
    with changed(finished, {"train.epochs": 2}), reserved_port() as port:
        finished.env["MLFLOW_TRACKING_URI"] = f"http://127.0.0.1:{port}"
        finished.env["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "1"
        try:
            message = finished.run("dnapair", "run", fails=True)
        finally:
            del finished.env["MLFLOW_TRACKING_URI"], finished.env["MLFLOW_HTTP_REQUEST_MAX_RETRIES"]
    assert "does not answer" in message
    assert "Traceback" not in message
