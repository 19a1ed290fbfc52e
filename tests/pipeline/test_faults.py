"""What goes wrong on real machines: one message, an exit code, nothing half-written."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pipeline.conftest import Project, copy_project, write_small_data

pytestmark = pytest.mark.slow


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = copy_project(tmp_path / "project")
    write_small_data(project.root / "data")
    return project


@pytest.fixture
def small_disk(project: Project) -> Iterator[Path]:
    """A file system with room for a few shards, where the embeddings go."""
    folder = project.root / "artifacts" / "embeddings"
    folder.mkdir(parents=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24k", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting a small file system needs root")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fails_plainly(project: Project, *command: str) -> str:
    message = project.run(*command, fails=True)
    assert "dnapair: " in message
    assert "Traceback" not in message
    return message


def test_full_disk_while_embedding_keeps_what_was_finished(project: Project, small_disk: Path):
    project.set({"embed.shard_rows": 16})
    project.run("dnapair", "prepare")
    message = fails_plainly(project, "dnapair", "embed")
    assert "No space left" in message
    names = {path.name for path in small_disk.iterdir()}
    assert "shard-00000.npy" in names
    assert not [name for name in names if name.endswith(".tmp.npy")]
    assert "manifest.json" not in names


def test_truncated_shard_stops_the_next_stage_and_is_made_again(project: Project):
    project.run("dnapair", "prepare")
    project.run("dnapair", "embed")
    shard = project.root / "artifacts/embeddings/shard-00001.npy"
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-7])
    message = fails_plainly(project, "dnapair", "scale")
    assert "shard-00001.npy is truncated" in message
    assert not (project.root / "artifacts/normalized").exists()
    project.run("dnapair", "embed")
    assert shard.read_bytes() == whole


def test_sequence_shorter_than_k_is_named(project: Project):
    fasta = project.root / "data/sequences.fasta"
    text = fasta.read_text().split("\n", 2)
    fasta.write_text(f"{text[0]}\nACG\n{text[2]}")
    project.run("dnapair", "prepare")
    message = fails_plainly(project, "dnapair", "embed")
    assert "g0f0 (3 letters)" in message
    assert not (project.root / "artifacts/embeddings").exists()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"encoder.source": "no/such/folder"}, "no folder"),
        ({"encoder.source": "zhihan1996/DNA_bert_6"}, "encoder.revision"),
    ],
)
def test_encoder_that_cannot_be_used_is_said(project: Project, settings: dict, words: str):
    project.set(settings)
    assert words in fails_plainly(project, "dnapair", "embed")
    assert not (project.root / "artifacts/embeddings").exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda text: text.replace("label", "outcome", 1), "label"),
        (lambda text: text.replace("g0f0", "g0f99"), "g0f99"),
        (lambda text: text.replace(",train", ",holdout"), "holdout"),
    ],
)
def test_bad_pair_table_is_one_message_and_writes_nothing(project: Project, change, words: str):
    table = project.root / "data/pairs.csv"
    table.write_text(change(table.read_text()))
    assert words in fails_plainly(project, "dnapair", "prepare")
    assert not (project.root / "artifacts/dataset").exists()
    assert not (project.root / "reports").exists()


def test_contradictory_labels_are_an_error_or_dropped(project: Project):
    table = project.root / "data/pairs.csv"
    lines = table.read_text().splitlines()
    flipped = lines[1].split(",")
    flipped[2] = str(1 - int(flipped[2]))
    table.write_text("\n".join([*lines, ",".join(flipped)]))
    assert "data.contradictory" in fails_plainly(project, "dnapair", "prepare")
    project.set({"data.contradictory": "drop"})
    project.run("dnapair", "prepare")


@pytest.mark.parametrize("stage", ["embed", "scale"])
def test_stage_without_its_input_says_what_to_run(project: Project, stage: str):
    assert "dvc repro" in fails_plainly(project, "dnapair", stage)
