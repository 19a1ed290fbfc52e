"""`dnapair run` and `dvc` on a project with small data, as a user types them."""

import json
import re
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.pipeline.conftest import Project, copy_project, write_small_data
from tests.waiting import Gate

pytestmark = pytest.mark.slow

FRAMEWORKS = ("torch", "tensorflow")
NOTHING_RAN = "Data and pipelines are up to date"


def read_json(path: Path) -> dict:
    return json.loads(path.read_text())


@contextmanager
def changed(project: Project, settings: dict):
    """Change settings for one test, and put everything back that git and DVC know."""
    project.set(settings)
    try:
        yield
    finally:
        project.run("git", "checkout", "-q", ".")
        project.run("dvc", "checkout", "--force")


def stale_stages(project: Project) -> set[str]:
    return set(json.loads(project.run("dvc", "status", "--json").splitlines()[-1]))


def test_everything_promised_is_written(finished: Project):
    reports = finished.root / "reports"
    names = {
        "accuracy",
        "precision",
        "recall",
        "f1",
        "roc_auc",
        "pr_auc",
        "mcc",
        "log_loss",
        "brier",
        "threshold",
    }
    for framework in FRAMEWORKS:
        metrics = read_json(reports / framework / "metrics.json")
        assert names <= metrics.keys()
        assert metrics["roc_auc"] > 0.6
        for plot in ("confusion", "roc", "pr", "calibration", "history", "map", "probabilities"):
            assert (reports / framework / f"{plot}.png").read_bytes().startswith(b"\x89PNG")
    assert read_json(reports / "dataset.json")["files"]
    assert read_json(reports / "scaling.json")["trained"] is False
    assert "untrained" in finished.first_output
    assert "roc_auc" in finished.first_output


def test_second_run_runs_nothing_and_leaves_git_clean(finished: Project):
    assert NOTHING_RAN in finished.run("dvc", "repro")
    assert NOTHING_RAN in finished.run("dvc", "status")
    assert finished.run("git", "status", "--porcelain") == ""


def test_learning_rate_does_not_embed_again(finished: Project):
    with changed(finished, {"train.learning_rate": 0.005}):
        stale = stale_stages(finished)
    assert "train@torch" in stale
    assert not stale & {"prepare", "finetune", "embed", "scale", "validate"}


def test_docs_make_nothing_stale(finished: Project):
    with changed(finished, {}):
        for name in ("README.md", "CONTRIBUTING.md", "MLproject"):
            (finished.root / name).write_text("changed\n")
        assert NOTHING_RAN in finished.run("dvc", "status")


@pytest.mark.parametrize(
    ("file", "stale"),
    [
        ("tracking/open_run.py", set()),
        ("params/sections.py", set()),
        ("commands/predict.py", set()),
        ("reporting/plots.py", {"evaluate"}),
        ("registry/versions.py", {"register"}),
        (
            "training/loop.py",
            {"finetune", "tune", "score", "baselines", "crossvalidate"}
            | {f"train@{name}" for name in FRAMEWORKS},
        ),
    ],
)
def test_a_change_of_the_code_makes_stale_what_computes_with_it(
    finished: Project, file: str, stale: set[str]
):
    with changed(finished, {}):
        path = finished.root / "src/dnapair" / file
        path.write_text(path.read_text() + "\n")
        status = json.loads(finished.run("dvc", "status", "--json").splitlines()[-1])
        # others are named because what they read is stale
        assert {stage for stage, why in status.items() if "src/dnapair" in json.dumps(why)} == stale


def test_training_again_gives_the_same_weights(finished: Project):
    files = [finished.root / "artifacts/models" / name / "weights.safetensors" for name in FRAMEWORKS]
    before = [path.read_bytes() for path in files]
    finished.run("dvc", "repro", "--force", "--single-item", *(f"train@{name}" for name in FRAMEWORKS))
    assert [path.read_bytes() for path in files] == before
    assert finished.run("git", "status", "--porcelain") == ""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere seeds take turns whatever the cores")
@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_seeds_side_by_side_are_trained_as_one_after_the_other(finished: Project, framework: str):
    folder = finished.root / "artifacts/models" / framework
    trained = []
    # two cores for two seeds, and one core
    for cores in ("2", "1"):
        finished.run("env", f"OMP_NUM_THREADS={cores}", "dnapair", "train", framework)
        trained.append({str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.*")})
    assert trained[0] == trained[1]
    assert len(json.loads(trained[0]["training.json"])["members"]) == 2


def test_metrics_and_plots_are_shown_by_dvc(finished: Project):
    shown = finished.run("dvc", "metrics", "show")
    assert all(f"reports/{name}/metrics.json" in shown for name in FRAMEWORKS)
    finished.run("dvc", "plots", "show", "--out", "plots_shown")
    page = (finished.root / "plots_shown" / "index.html").read_text()
    shutil.rmtree(finished.root / "plots_shown")
    assert all(name in page for name in ("ROC", "Precision", "Confusion", "Calibration", "History"))


def test_push_and_pull_by_a_folder(finished: Project, tmp_path: Path):
    finished.run("dvc", "remote", "add", "--local", "-f", "-d", "folder", str(tmp_path / "remote"))
    finished.run("dvc", "push")
    clone = clone_of(finished, tmp_path / "clone")
    clone.run("dvc", "remote", "add", "--local", "-d", "folder", str(tmp_path / "remote"))
    clone.run("dvc", "pull")
    check_complete(clone)
    same = "artifacts/normalized/embeddings.npy"
    assert (clone.root / same).read_bytes() == (finished.root / same).read_bytes()


def test_push_and_pull_by_s3(finished: Project, tmp_path: Path):
    moto = pytest.importorskip("moto.server")
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    credentials = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_DEFAULT_REGION": "us-east-1"}
    try:
        import boto3

        boto3.client(
            "s3", endpoint_url=url, region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b"
        ).create_bucket(Bucket="lab")
        clone = clone_of(finished, tmp_path / "clone")
        for project in (finished, clone):
            project.env |= credentials
            project.run("dvc", "remote", "add", "--local", "-f", "-d", "bucket", "s3://lab/dnapair")
            project.run("dvc", "remote", "modify", "--local", "bucket", "endpointurl", url)
        finished.run("dvc", "push")
        clone.run("dvc", "pull")
        check_complete(clone)
    finally:
        server.stop()


@pytest.mark.parametrize(
    ("name", "own", "weights"),
    [
        ("pair-model-torch", "artifacts/models/torch", "weights.safetensors"),
        ("pair-encoder", "artifacts/encoder", "model.safetensors"),
    ],
)
def test_a_model_is_an_artifact_of_dvc_and_had_elsewhere_by_its_tag(
    finished: Project, tmp_path: Path, name: str, own: str, weights: str
):
    finished.run("git", "tag", "--annotate", f"{name}@v1.0.0", "--message", "First")
    try:
        place = str(tmp_path / "model")
        finished.run("dvc", "artifacts", "get", str(finished.root), name, "--out", place)
    finally:
        finished.run("git", "tag", "--delete", f"{name}@v1.0.0")
    assert (tmp_path / "model" / weights).read_bytes() == (finished.root / own / weights).read_bytes()


def check_complete(clone: Project) -> None:
    """Nothing is left to do but to link what settings name on this machine."""
    ran = re.findall("Running stage '(.+)'", clone.run("dvc", "repro"))
    assert {name.partition("@")[0] for name in ran} == {"locate"}
    assert NOTHING_RAN in clone.run("dvc", "status")


def clone_of(project: Project, root: Path) -> Project:
    subprocess.run(["git", "clone", "-q", str(project.root), str(root)], check=True)
    return Project(root)


def test_export_writes_the_originals_arrays(finished: Project, tmp_path: Path):
    finished.run("dnapair", "export", "--format", "npz", "--output", str(tmp_path))
    matrix = np.load(finished.root / "artifacts/normalized/embeddings.npy")
    for split in ("train", "val", "test"):
        rows = pd.read_parquet(finished.root / f"artifacts/normalized/{split}.parquet")
        with np.load(tmp_path / f"{split}.npz", allow_pickle=False) as arrays:
            np.testing.assert_array_equal(arrays["seq1"], matrix[rows["seq1"]])
            np.testing.assert_array_equal(arrays["seq2"], matrix[rows["seq2"]])
            np.testing.assert_array_equal(arrays["labels"], rows["label"])


def test_doctor_finds_nothing_wrong_and_then_something(finished: Project):
    assert "Everything is here." in finished.run("dnapair", "doctor")
    with changed(finished, {"encoder.source": "no/such"}):
        assert "encoder.revision" in finished.run("dnapair", "doctor", fails=True)


def test_unknown_setting_is_refused_before_anything_changes(finished: Project):
    for words in (("--train.epoch", "3"), ("--train.epochs", "0"), ("--nothing", "1"), ("--train.epochs",)):
        message = finished.run("dnapair", "run", *words, fails=True)
        assert "Traceback" not in message
        assert words[0].removeprefix("--") in message
    assert finished.run("git", "status", "--porcelain") == ""


def test_failing_stage_is_one_message(finished: Project):
    with changed(finished, {"data.pairs": "no_such.csv"}):
        message = finished.run("dnapair", "run", fails=True)
        assert "no_such.csv" in message
        assert "Traceback" not in message


def test_killed_embedding_goes_on(tmp_path: Path):
    project = copy_project(tmp_path / "project")
    project.set({"embed.shard_rows": 16})
    write_small_data(project.root / "data")
    project.run("dnapair", "prepare")
    project.run("dnapair", "finetune")
    # three shards are there, the fourth is written
    gate = Gate(tmp_path / "gate", "os.rename", r"embeddings/shard-00003\.npy")
    project.kill_at(gate, "dnapair", "embed")
    shards = project.root / "artifacts/embeddings"
    finished = {path: path.stat().st_mtime_ns for path in shards.glob("shard-*.npy")}
    assert len(finished) == 3
    assert "going on after 3 finished shards" in project.run("dnapair", "embed")
    assert {path: path.stat().st_mtime_ns for path in finished} == finished


def test_the_originals_files_run(tmp_path: Path):
    """No header, tab-separated 6-mers, TRUE and FALSE, one file a split; only params.yaml is changed."""
    project = copy_project(tmp_path / "project")
    small = tmp_path / "small"
    write_small_data(small)
    sequences = dict(
        record.split("\n", 1) for record in (small / "sequences.fasta").read_text().lstrip(">").split("\n>")
    )
    sequences = {header.split()[0]: sequence.strip() for header, sequence in sequences.items()}
    sequences = {
        name: " ".join(text[start : start + 6] for start in range(len(text) - 5))
        for name, text in sequences.items()
    }
    pairs = pd.read_csv(small / "pairs.csv")
    raw = tmp_path / "raw"
    raw.mkdir()
    for split, rows in pairs.groupby("split"):
        lines = [
            f"{sequences[a]}\t{sequences[b]}\t{bool(y)!s}".replace("True", "TRUE").replace("False", "FALSE")
            for a, b, y in zip(rows["id1"], rows["id2"], rows["label"], strict=True)
        ]
        (raw / f"{split}.tsv").write_text("\n".join(lines) + "\n")
    project.run("dnapair", "use", str(raw), "--split.column", "null")
    project.run("dvc", "repro", "validate")
    dataset = pd.read_parquet(project.root / "artifacts/dataset/pairs.parquet")
    assert len(dataset) == len(pairs)
    assert dataset["label"].sum() == pairs["label"].sum()
    assert dict(dataset["split"].value_counts()) == dict(pairs["split"].value_counts())
