"""`dnapair pretrain` as its users run it: losses fall, kill -9 loses little, mistakes are said."""

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

import mlflow
import numpy as np
import pytest
from safetensors import safe_open

from dnapair.embedding.checkpoint import load_encoder
from dnapair.embedding.store import EmbeddingStore
from tests.waiting import Gate

from .conftest import Project, copy_project, write_small_data

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]

SHORT = {
    "pretrain.fasta": "genes.fasta",
    "pretrain.output": "encoders/own",
    "pretrain.crop": 100,
    "pretrain.min_length": 60,
    "pretrain.min_genome": 100,
    "pretrain.k": 4,
    "pretrain.hidden": 16,
    "pretrain.heads": 2,
    "pretrain.feed_forward": 32,
    "pretrain.warm_start.steps": 30,
    "pretrain.warm_start.batch_pairs": 12,
    "pretrain.contrastive.batch_pairs": 12,
    "pretrain.masked.weight": 0.5,
    "pretrain.masked.fragments": 16,
    "pretrain.micro_batch": 16,
    "pretrain.steps": 60,
    "pretrain.learning_rate": 0.003,
    "pretrain.warmup_steps": 5,
    "pretrain.probe_steps": 10,
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = copy_project(tmp_path_factory.mktemp("pretrain") / "project")
    write_small_data(project.root / "datasets" / "small")
    project.run("dnapair", "use", "datasets/small")
    shutil.copy(project.root / "data" / "sequences.fasta", project.root / "genes.fasta")
    project.set(SHORT)
    project.commit("Small data")
    project.run("dnapair", "prepare")
    return project


@pytest.fixture
def settings(project: Project):
    """params.yaml is as it was after each test, and no encoder or checkpoint is left."""
    text = (project.root / "params.yaml").read_text()
    yield project
    (project.root / "params.yaml").write_text(text)
    shutil.rmtree(project.root / "encoders" / "own", ignore_errors=True)
    shutil.rmtree(project.root / "artifacts" / "pretraining", ignore_errors=True)


def curve(project: Project, key: str) -> list[float]:
    client = mlflow.MlflowClient(project.tracking_uri)
    (experiment,) = client.search_experiments(filter_string="name = 'dnapair'")
    runs = client.search_runs([experiment.experiment_id], "tags.`dnapair.stage` = 'pretrain'")
    history = client.get_metric_history(runs[0].info.run_id, key)
    return [metric.value for metric in sorted(history, key=lambda metric: metric.step)]


def test_losses_fall_and_the_encoder_is_used_by_the_pipeline(settings: Project):
    output = settings.run("dnapair", "pretrain")
    assert "To use it, set encoder.source: encoders/own" in output
    for loss in ("contrastive_loss", "masked_loss"):
        values = curve(settings, f"pretraining/{loss}")
        assert len(values) == 6
        assert values[-1] < values[0]
    warm = curve(settings, "warm_start/contrastive_loss")
    assert warm[-1] < warm[0]
    assert len(curve(settings, "warm_start/val_roc_auc")) == 3
    assert curve(settings, "kmers/val_roc_auc")
    assert curve(settings, "share_of_peak")[0] > 0
    folder = settings.root / "encoders" / "own"
    train = {f"g{number}" for number in range(24)}
    assert set((folder / "genomes.txt").read_text().split()) == train
    settings.set({"encoder.source": "encoders/own"})
    settings.run("dnapair", "finetune")
    settings.run("dnapair", "embed")
    store = EmbeddingStore.open(settings.root / "artifacts" / "embeddings")
    assert (store.encoder, store.trained) == ("encoders/own", True)


def test_dvc_and_mlflow_run_it_apart_from_the_pipeline(settings: Project):
    settings.set({"pretrain.warm_start.steps": 0, "pretrain.steps": 3})
    assert "encoders/dvc.yaml:pretrain:" not in settings.run("dvc", "status")
    settings.run("mlflow", "run", ".", "--env-manager", "local", "-e", "pretrain", "-P", "pretrain.steps=2")
    assert (settings.root / "encoders" / "own" / "model.safetensors").is_file()
    assert "encoders/dvc.yaml:pretrain:" not in settings.run("dvc", "status")
    assert "encoders/own (pretrain.output) is already there" in settings.run(
        "dnapair", "run", "pretrain", fails=True
    )
    assert "runs alone" in settings.run("dnapair", "run", "pretrain", "embed", fails=True)


def test_killed_run_goes_on_from_its_checkpoint_to_the_same_weights(settings: Project, tmp_path: Path):
    # after each step
    settings.set({"pretrain.checkpoint_minutes": 1e-12})
    root = settings.root
    settings.run("dnapair", "pretrain")
    expected = weights(root / "encoders" / "own")
    shutil.move(root / "encoders" / "own", root / "first")
    checkpoint = root / "artifacts" / "pretraining" / "checkpoint.safetensors"
    # the warm start has 30 steps
    gate = Gate(tmp_path / "gate", "os.rename", r"checkpoint\.safetensors", turn=30 + 28)
    settings.kill_at(gate, "dnapair", "pretrain")
    assert (standing(checkpoint)["phase"], standing(checkpoint)["step"]) == ("pretraining", 27)
    assert not (root / "encoders" / "own").exists()
    settings.set({"pretrain.seed": 2})
    assert "pretrain.seed: 1 then, 2 now" in settings.run("dnapair", "pretrain", fails=True)
    settings.set({"pretrain.seed": 1})
    settings.run("dnapair", "pretrain")
    assert len(curve(settings, "pretraining/contrastive_loss")) == 6 - 27 // 10
    found = weights(root / "encoders" / "own")
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, atol=2e-3)
    shutil.rmtree(root / "first")


def standing(checkpoint: Path) -> dict:
    with safe_open(checkpoint, "np") as file:
        return json.loads(file.metadata()["standing"])


def weights(folder: Path) -> Mapping[str, np.ndarray]:
    return load_encoder(str(folder), None, allow_pytorch_bin=False).weights


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pretrain.fasta": "none.fasta"}, "none.fasta (pretrain.fasta) is not there"),
        ({"pretrain.genome": "organism=(.*)"}, "(pretrain.genome) in the headers, and are none at all"),
        ({"pretrain.output": "encoders"}, "encoders (pretrain.output) is already there"),
        (
            {"pretrain.min_length": 200, "pretrain.crop": 200},
            "no record is as long as pretrain.min_length, 200",
        ),
        ({"pretrain.warm_start.batch_pairs": 99}, "A batch takes 99 pairs of fragments"),
        ({"pretrain.unseen_genomes": ["genus"]}, "the pairs have no column 'genus'"),
        ({"pretrain.contrastive.weight": 0}, "the warm start is contrastive"),
        ({"pretrain.device": "cuda"}, "pretrain.device: cuda, but PyTorch sees no GPU"),
        ({"pretrain.crop": 600}, "pretrain: Value error, crop (600)"),
    ],
)
def test_mistakes_are_said_and_leave_nothing(settings: Project, changes: dict, message: str):
    settings.set(changes)
    output = settings.run("dnapair", "pretrain", fails=True)
    assert message.removeprefix("pretrain: Value error, ") in output
    assert "Traceback" not in output
    assert not (settings.root / "encoders" / "own").exists()


def test_records_without_genome_need_no_contrastive_objective(settings: Project):
    text = (settings.root / "genes.fasta").read_text()
    (settings.root / "plain.fasta").write_text("".join(f"{line.split()[0]}\n" for line in text.splitlines()))
    settings.set({"pretrain.fasta": "plain.fasta", "pretrain.unseen_genomes": None})
    printed = settings.run("dnapair", "pretrain", fails=True)
    assert "names no genome" in printed
    said = {key: int(value) for key, value in re.findall(r"(pretrain\.[a-z_.]+): (\d+)", printed)}
    assert said.pop("pretrain.steps") > 2
    settings.set(said | {"pretrain.steps": 2})
    settings.run("dnapair", "pretrain")
