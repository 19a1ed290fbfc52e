"""What goes wrong on real machines: one message, an exit code, nothing half-written."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from dnapair.data.sequences import reverse_complement
from dnapair.embedding.scaling import Scaler
from dnapair.storage.files import write_sums
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
    for stage in ("prepare", "finetune"):
        project.run("dnapair", stage)
    message = fails_plainly(project, "dnapair", "embed")
    assert "No space left" in message
    names = {path.name for path in small_disk.iterdir()}
    assert "shard-00000.npy" in names
    assert not [name for name in names if name.endswith(".tmp.npy")]
    assert "manifest.json" not in names


def test_truncated_shard_stops_the_next_stage_and_is_made_again(project: Project):
    for stage in ("prepare", "finetune", "embed", "interact"):
        project.run("dnapair", stage)
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
    for stage in ("prepare", "finetune"):
        project.run("dnapair", stage)
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
    assert words in fails_plainly(project, "dnapair", "finetune")
    assert not (project.root / "artifacts/encoder").exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda text: text.replace("label", "outcome", 1).replace(",1,", ",perhaps,", 1), "label"),
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


@pytest.mark.parametrize("stage", ["embed", "interact", "scale"])
def test_stage_without_its_input_says_what_to_run(project: Project, stage: str):
    assert "dvc repro" in fails_plainly(project, "dnapair", stage)


def rows_of(project: Project, split: str) -> list[list[str]]:
    lines = (project.root / "data/pairs.csv").read_text().splitlines()[1:]
    return [line.split(",") for line in lines if line.endswith(f",{split}")]


def append_pair(project: Project, *fields: str) -> None:
    with (project.root / "data/pairs.csv").open("a") as file:
        file.write("\n" + ",".join(fields))


def run_stages(project: Project) -> None:
    for stage in ("prepare", "finetune", "embed", "interact", "scale"):
        project.run("dnapair", stage)


def audit_of(project: Project) -> dict[tuple[str, str | None], dict]:
    report = json.loads((project.root / "reports/audit.json").read_text())
    return {(finding["check"], finding["split"]): finding for finding in report["findings"]}


def test_a_swapped_pair_and_a_reverse_complement_across_splits_stop_the_pipeline(project: Project):
    id1, id2, label, genome1, genome2, _ = rows_of(project, "train")[0]
    append_pair(project, id2, id1, label, genome2, genome1, "test")
    fasta = project.root / "data/sequences.fasta"
    records = dict(record.split("\n")[:2] for record in fasta.read_text().split(">")[1:])
    other = rows_of(project, "train")[1][0]
    text = next(text for header, text in records.items() if header.startswith(f"{other} "))
    fasta.write_text(fasta.read_text() + f">turned\n{reverse_complement(text)}\n")
    append_pair(project, "turned", id1, "0", genome1, genome1, "test")
    run_stages(project)
    message = fails_plainly(project, "dnapair", "validate")
    assert "are in train or validation too, in either order or on either strand: pair " in message
    assert f"({id2}, {id1}) is pair " in message
    assert f"turned is the reverse complement of {other}" in message
    found = audit_of(project)
    assert found["repeated_pairs", "test"]["level"] == found["reverse_complements", "test"]["level"] == "fail"
    assert found["repeated_pairs", "test"]["count"] == 1
    assert found["groups", "test"]["level"] == "warn"
    assert found["repeated_pairs", "test"]["words"] in (project.root / "reports/validation.html").read_text()
    project.set({"audit.repeated_pairs.level": "warn", "audit.reverse_complements.level": "info"})
    project.run("dnapair", "validate")


def test_a_duplicated_row_across_splits_is_dropped_and_named(project: Project):
    row = rows_of(project, "train")[0]
    append_pair(project, *row[:5], "test")
    run_stages(project)
    project.run("dnapair", "validate")
    report = json.loads((project.root / "reports/dataset.json").read_text())
    lines = (project.root / "data/pairs.csv").read_text().splitlines()
    first = lines.index(",".join(row)) + 1
    words = f"data/pairs.csv, line {len(lines)} (test) repeats data/pairs.csv, line {first} (train)"
    assert report["repeated_across_splits"] == {"pairs": 1, "examples": [words]}
    finding = audit_of(project)["repeated_pairs", None]
    assert finding["level"] == "warn"
    assert words in finding["words"]


def test_labels_that_depend_on_seq1_alone_are_said(project: Project):
    fasta, table = project.root / "data/sequences.fasta", project.root / "data/pairs.csv"
    records = [record.split("\n") for record in fasta.read_text().split(">")[1:]]
    rich = {header.split()[0]: text.count("G") + text.count("C") > 60 for header, text, *_ in records}
    header, *lines = table.read_text().splitlines()
    rows = [line.split(",") for line in lines]
    table.write_text(
        "\n".join([header, *(",".join([r[0], r[1], str(int(rich[r[0]])), *r[3:]]) for r in rows)])
    )
    run_stages(project)
    project.run("dnapair", "validate")
    finding = audit_of(project)["single_side", "val"]
    assert finding["level"] == "warn"
    assert finding["words"].startswith(
        "Labels depend on one sequence alone: seq1, by its 4-mers and length, "
    )


@pytest.mark.parametrize("mode", ["dimension", "global"])
def test_a_scaler_fitted_on_everything_stops_the_pipeline(project: Project, mode: str):
    project.set({"scale.mode": mode})
    run_stages(project)
    shards = [np.load(path) for path in sorted((project.root / "artifacts/embeddings").glob("*.npy"))]
    values = np.concatenate(shards).astype(np.float32)
    scaler = Scaler(values.shape[1], mode)
    scaler.partial_fit(values)
    normalized = project.root / "artifacts/normalized"
    scaler.save(normalized / "scaler.safetensors")
    np.save(normalized / "embeddings.npy", scaler.transform(values))
    write_sums(normalized)
    message = fails_plainly(project, "dnapair", "validate")
    assert "The scaler of the embeddings was not fitted on train alone" in message


def test_too_many_unknown_kmers_stop_the_pipeline(project: Project):
    fasta = project.root / "data/sequences.fasta"
    first, second, *rest = fasta.read_text().split("\n")
    fasta.write_text("\n".join([first, second[:4] + "N" * (len(second) - 4), *rest]))
    project.set({"data.ambiguous": "keep", "checks.max_unknown_share": 0.0})
    run_stages(project)
    message = fails_plainly(project, "dnapair", "validate")
    assert "of the k-mers of train touch a letter outside ACGT" in message
    tokens = json.loads((project.root / "reports/tokens.json").read_text())
    assert tokens["train"]["unknown"] == len(second) - 4
    assert tokens["test"]["unknown"] == tokens["train"]["cut_bases"] == 0
