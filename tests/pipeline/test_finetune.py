"""`dnapair finetune` as its users run it: it hands through, learns, goes on after kill -9, says mistakes."""

import json
import shutil
import subprocess
from pathlib import Path

import mlflow
import numpy as np
import pytest
from transformers import AutoModel

from dnapair.embedding.checkpoint import load_encoder
from dnapair.embedding.store import EmbeddingStore
from tests.waiting import Gate

from .conftest import Project, copy_project, write_small_data

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]

SHORT = {
    "finetune.bag_epochs": 3,
    "finetune.bag_learning_rate": 0.01,
    "finetune.batch_size": 64,
    "finetune.steps": 6,
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = copy_project(tmp_path_factory.mktemp("finetune") / "project")
    write_small_data(project.root / "datasets" / "small")
    project.run("dnapair", "use", "datasets/small")
    project.set(SHORT)
    project.commit("Small data")
    for stage in ("prepare", "interact"):
        project.run("dnapair", stage)
    return project


@pytest.fixture
def settings(project: Project):
    """params.yaml is as it was after each test, and nothing that the stage wrote is left."""
    text = (project.root / "params.yaml").read_text()
    yield project
    (project.root / "params.yaml").write_text(text)
    for name in ("encoder", "finetuning"):
        shutil.rmtree(project.root / "artifacts" / name, ignore_errors=True)


def report(project: Project) -> dict:
    return json.loads((project.root / "reports/finetuning.json").read_text())


def weights(project: Project) -> bytes:
    return (project.root / "artifacts/encoder/model.safetensors").read_bytes()


def test_none_hands_the_encoder_through_and_embed_takes_it(settings: Project):
    source = Path(__file__).parents[2] / "encoders" / "dnabert6-mini"
    settings.set({"encoder.source": "encoders/dnabert6-mini"})
    settings.run("dnapair", "finetune")
    folder = settings.root / "artifacts" / "encoder"
    assert load_encoder(str(folder)).fingerprint == load_encoder(str(source)).fingerprint
    assert (folder / "README.md").read_text() == (source / "README.md").read_text()
    assert AutoModel.from_pretrained(folder, add_pooling_layer=False).config.hidden_size == 128
    settings.run("dnapair", "embed")
    store = EmbeddingStore.open(settings.root / "artifacts" / "embeddings")
    assert store.encoder == "encoders/dnabert6-mini"
    assert report(settings)["fine_tuned"] is False


def test_it_learns_and_the_later_stages_take_what_it_learnt(settings: Project):
    settings.set({"finetune.method": "full", "finetune.contrastive.weight": 0.1})
    printed = settings.run("dnapair", "finetune")
    assert "pairs/s" in printed
    found = report(settings)
    assert found["fine_tuned"] is True
    assert found["encoder"].endswith("fine-tuned")
    (only,) = found["tries"]
    assert {look["phase"] for look in only["history"]} == {"bag", "bert"}
    folder = settings.root / "artifacts" / "encoder"
    assert "learnt from" in (folder / "README.md").read_text()
    assert not (settings.root / "artifacts" / "finetuning").exists()
    settings.run("dnapair", "embed")
    store = EmbeddingStore.open(settings.root / "artifacts" / "embeddings")
    assert (store.encoder, store.trained) == (found["encoder"], True)
    client = mlflow.MlflowClient(settings.tracking_uri)
    (experiment,) = client.search_experiments(filter_string="name = 'dnapair'")
    (run,) = client.search_runs(
        [experiment.experiment_id], "attributes.run_name = 'try 1'", order_by=["attributes.start_time DESC"]
    )[:1]
    for metric in ("bag/val_pr_auc", "bag/contrastive_loss"):
        assert len(client.get_metric_history(run.info.run_id, metric)) == 3
    # a fold would test pairs that the encoder has learnt from
    settings.set({"evaluate.folds": 2})
    assert "whose labels the encoder has learnt from" in settings.run("dnapair", "crossvalidate", fails=True)


def test_labels_of_test_pairs_change_not_a_bit(settings: Project):
    settings.set({"finetune.method": "auto"})
    settings.run("dnapair", "finetune")
    first, told = weights(settings), report(settings)
    table = settings.root / "data" / "pairs.csv"
    text = table.read_text()
    try:
        lines = [line.split(",") for line in text.splitlines()]
        chosen = [row for row in lines if row[-1] == "test"]
        turned = np.random.default_rng(1).permutation([row[2] for row in chosen])
        for row, label in zip(chosen, turned, strict=True):
            row[2] = str(label)
        table.write_text("\n".join(",".join(row) for row in lines))
        settings.set({"data.path": str(shutil.copytree(settings.root / "data", settings.root / "turned"))})
        settings.run("dnapair", "prepare")
        settings.run("dnapair", "finetune")
        assert weights(settings) == first
        assert report(settings) == told
    finally:
        table.write_text(text)
        settings.set({"data.path": "data"})
        settings.run("dnapair", "prepare")
        shutil.rmtree(settings.root / "turned")


def test_killed_it_goes_on_from_its_checkpoint_to_the_same_weights(settings: Project, tmp_path: Path):
    settings.set({"finetune.method": "full", "finetune.checkpoint_minutes": 1e-12})
    settings.run("dnapair", "finetune")
    expected = weights(settings)
    shutil.rmtree(settings.root / "artifacts" / "encoder")
    gate = Gate(tmp_path / "gate", "os.rename", r"untrained\.safetensors", turn=9)
    settings.kill_at(gate, "dnapair", "finetune")
    assert (settings.root / "artifacts/finetuning/untrained.safetensors").is_file()
    assert not (settings.root / "artifacts" / "encoder").exists()
    settings.set({"finetune.seed": 2})
    assert "finetune.seed: 1 then, 2 now" in settings.run("dnapair", "finetune", fails=True)
    settings.set({"finetune.seed": 1})
    settings.run("dnapair", "finetune")
    assert weights(settings) == expected


@pytest.fixture
def small_disk(settings: Project):
    """All that stages write lies on a small disk."""
    artifacts = settings.root / "artifacts"
    kept = artifacts.with_name("kept")
    artifacts.rename(kept)
    artifacts.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(artifacts)], capture_output=True, check=False
    )
    try:
        if mounted.returncode:
            pytest.skip("mounting a small file system needs root")
        shutil.copytree(kept, artifacts, dirs_exist_ok=True)
        yield artifacts
    finally:
        subprocess.run(["umount", "-l", str(artifacts)], check=False, capture_output=True)
        artifacts.rmdir()
        kept.rename(artifacts)


def test_a_full_disk_leaves_the_encoder_that_was_there_and_room_lets_it_go_on(
    settings: Project, small_disk: Path
):
    def written() -> dict[str, bytes]:
        files = (path for path in small_disk.rglob("*") if path.is_file() and path.suffix != ".lock")
        return {str(path): path.read_bytes() for path in files if "scratch" not in path.parts}

    settings.set({"finetune.method": "full"})
    settings.run("dnapair", "finetune")
    expected = weights(settings)
    settings.set({"finetune.method": "none"})
    settings.run("dnapair", "finetune")
    assert weights(settings) != expected
    ballast = small_disk / "ballast"
    for method, free, file in (("none", 2**13, ""), ("full", 2**21, "untrained.safetensors")):
        settings.set({"finetune.method": method})
        before = written()
        ballast.write_bytes(bytes(shutil.disk_usage(small_disk).free - free))
        output = settings.run("dnapair", "finetune", fails=True)
        assert "dnapair: No space left on device" in output
        assert file in output
        assert "Traceback" not in output
        ballast.unlink()
        assert written() == before
    settings.run("dnapair", "finetune")
    assert weights(settings) == expected


def test_fewer_pairs_than_a_batch_are_one(settings: Project):
    settings.set({"finetune.method": "full", "finetune.batch_size": 4096, "finetune.steps": 2})
    output = settings.run("dnapair", "finetune")
    assert "pairs, fewer than finetune.batch_size (4096): a batch is all of them" in output
    (only,) = report(settings)["tries"]
    assert [look["step"] for look in only["history"]] == [1, 2, 3, 1, 2]


def test_a_search_keeps_the_best_on_validation_and_its_finished_tries_over_a_kill(
    settings: Project, tmp_path: Path
):
    settings.set({"finetune.method": "full", "finetune.search.steps": [6, 2]})
    gate = Gate(tmp_path / "gate", "os.rename", r"untrained-steps-2\.safetensors")
    settings.kill_at(gate, "dnapair", "finetune")
    # what is added later is tried too, and nothing that was finished begins anew
    settings.set({"finetune.search.steps": [6, 2, 3]})
    printed = settings.run("dnapair", "finetune")
    assert "finetune, untrained, bag" not in printed
    assert "finetune, untrained-steps-3, bert, step 3:" in printed
    told = report(settings)
    tries = told["tries"]
    assert [one["encoder"].partition("fine-tuned")[2] for one in tries] == ["", " (steps 2)", " (steps 3)"]
    best = max(tries, key=lambda one: one["val"]["pr_auc"])
    assert told["encoder"] == best["encoder"]
    assert told["fine_tuned"] is True
    card = (settings.root / "artifacts/encoder/README.md").read_text()
    for name, value in best["settings"].items():
        assert f"`finetune.{name}: {value}`" in card
    client = mlflow.MlflowClient(settings.tracking_uri)
    (experiment,) = client.search_experiments(filter_string="name = 'dnapair'")
    (run,) = client.search_runs([experiment.experiment_id], "params.`finetune.steps` = '3'")
    assert run.data.metrics["val_pr_auc"] == tries[2]["val"]["pr_auc"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"finetune.method": "lora", "finetune.steps": 0}, "method: lora learns as a BERT, and steps is 0"),
        (
            {"finetune.method": "lora", "finetune.lora.targets": ["Wqkv"]},
            "the encoder has no layer Wqkv. There are: dense, key, query, value",
        ),
        ({"finetune.method": "full", "encoder.pooling": "cls"}, "Set encoder.pooling: mean"),
        (
            {"finetune.method": "full", "finetune.device": "cuda"},
            "finetune.device: cuda, but PyTorch sees no",
        ),
    ],
)
def test_mistakes_are_said_and_leave_nothing(settings: Project, changes: dict, message: str):
    settings.set(changes)
    output = settings.run("dnapair", "finetune", fails=True)
    assert message in output
    assert "Traceback" not in output
    assert not (settings.root / "artifacts" / "encoder").exists()
