"""What a setting points at is exchanged: whatever was computed from it is computed anew, and only then."""

import json
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.pipeline.conftest import Project, copy_project, write_small_data
from tests.pipeline.test_pipeline import NOTHING_RAN
from tests.small_models import small_encoder
from tests.unit.data.genome_writing import write_2bit, write_fasta

pytestmark = pytest.mark.slow

COMMIT = "c" * 40


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = copy_project(tmp_path / "project")
    write_small_data(project.root / "data", genomes=10)
    project.commit("Small data")
    return project


def write_weights(folder: Path, seed: int) -> str:
    """Write an encoder where another may be, of the same size to the byte; return its fingerprint."""
    encoder = small_encoder(seed)
    folder.mkdir(parents=True, exist_ok=True)
    encoder.save(folder)
    return encoder.fingerprint


def hub_cache(project: Project) -> Path:
    """An encoder as huggingface_hub keeps it: the snapshot is links to blobs."""
    cache = project.root.parent / "hub"
    folder = cache / "models--lab--encoder"
    write_weights(folder / "blobs", 1)
    snapshot = folder / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    for blob in (folder / "blobs").iterdir():
        (snapshot / blob.name).symlink_to(f"../../blobs/{blob.name}")
    project.env |= {"HF_HUB_CACHE": str(cache), "HF_HUB_OFFLINE": "1"}
    return folder / "blobs"


def embedded_by(project: Project) -> str:
    manifest = json.loads((project.root / "artifacts/embeddings/manifest.json").read_text())
    return manifest["made_by"]["encoder_sha256"]


@pytest.mark.parametrize("where", ["folder", "folder elsewhere", "hub"])
def test_another_encoder_in_the_same_place_embeds_anew(project: Project, where: str):
    if where == "hub":
        place = hub_cache(project)
        project.set({"encoder.source": "lab/encoder", "encoder.revision": COMMIT})
    else:
        place = project.root / "encoders/mine" if where == "folder" else project.root.parent / "my encoder"
        project.set({"encoder.source": "encoders/mine" if where == "folder" else str(place)})
    first = write_weights(place, 1)
    place.chmod(0o755)
    project.run("dvc", "repro", "embed")
    assert embedded_by(project) == first
    second = write_weights(place, 2)
    # what `mlflow run . -e embed` runs
    project.run("dnapair", "run", "embed")
    assert embedded_by(project) == second
    assert NOTHING_RAN in project.run("dvc", "repro", "embed")
    assert NOTHING_RAN in project.run("dvc", "status", "embed")
    # DVC changed nothing there
    assert stat.S_IMODE(place.stat().st_mode) == 0o755
    assert (place / "model.safetensors").is_file()


def test_a_project_that_moves_finds_its_encoder(project: Project):
    fingerprint = write_weights(project.root / "encoders/mine", 1)
    project.set({"encoder.source": "encoders/mine"})
    project.run("dvc", "repro", "embed")
    moved = project.root.with_name("moved")
    shutil.move(project.root, moved)
    shutil.copytree(moved / "encoders/mine", project.root / "encoders/mine")
    write_weights(project.root / "encoders/mine", 2)
    assert NOTHING_RAN in Project(moved).run("dvc", "status", "embed")
    assert embedded_by(Project(moved)) == fingerprint


def exchange(path: Path) -> None:
    """Turn the label of the last pair: size and, but for a moment, time are as they were."""
    text, times = path.read_text(), path.stat()
    path.write_text(text[:-1] + str(1 - int(text[-1])))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns + 1_000_000))


@pytest.mark.parametrize(
    "point_at",
    [
        lambda folder: folder,
        lambda folder: folder / "pairs.csv",
        lambda folder: Path(os.path.relpath(folder)),
    ],
    ids=["folder", "file", "relative"],
)
def test_data_in_a_place_of_their_own_are_read_anew(
    project: Project, point_at: Callable[[Path], Path], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(project.root)
    table = project.root.parent / "own" / "pairs.csv"
    table.parent.mkdir()
    sequences = [f"ACGTACGT{end}{other}" for end in ("ACG", "TTT", "GCA", "CCC") for other in ("AAT", "GTC")]
    rows = [
        f"{first},{second},{(place + other) % 2}"
        for place, first in enumerate(sequences)
        for other, second in enumerate(sequences[:place])
    ]
    table.write_text("\n".join(["seq1,seq2,label", *rows]))
    project.set({"data.path": str(point_at(table.parent)), "split.method": "random"})
    project.run("dvc", "repro", "prepare")
    pairs = project.root / "artifacts/dataset/pairs.parquet"
    before = pairs.read_bytes()
    assert NOTHING_RAN in project.run("dvc", "repro", "prepare")
    exchange(table)
    project.run("dvc", "repro", "prepare")
    assert pairs.read_bytes() != before


@pytest.mark.parametrize("write", [write_fasta, write_2bit])
def test_another_genome_in_the_same_place_is_cut_anew(project: Project, write: Callable[..., Path]):
    folder = project.root.parent / "my genomes"
    folder.mkdir()
    sequence = "".join(np.random.default_rng(1).choice(list("ACGT"), 900))
    genome = write(folder / "genome", {"chr1": sequence})
    shutil.rmtree(project.root / "data")
    (project.root / "data").mkdir()
    rows = [f"chr1:{n}-{n + 40},chr1:{n + 300}-{n + 330}(-),{n % 2}" for n in range(200)]
    (project.root / "data/pairs.csv").write_text("\n".join(["first,second,label", *rows]) + "\n")
    project.set({"data.genome": str(genome), "split.method": "random"})
    # nobody can write there
    folder.chmod(0o555)
    project.run("dvc", "repro", "prepare")
    sequences = project.root / "artifacts/dataset/sequences.parquet"
    before = sequences.read_bytes()
    assert NOTHING_RAN in project.run("dvc", "repro", "prepare")
    write(genome, {"chr1": sequence[::-1]})
    project.run("dvc", "repro", "prepare")
    assert sequences.read_bytes() != before
    assert NOTHING_RAN in project.run("dvc", "status", "prepare")
    assert [file.name for file in folder.iterdir()] == ["genome"]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"encoder.source": "encoders/none/such"}, "encoder.source: there is no folder 'encoders/none/such'"),
        ({"data.path": "no data"}, "no data (data.path) is not there"),
        ({"data.genome": "none.fa"}, "none.fa (data.genome) is not there"),
    ],
)
def test_what_is_not_there_is_said_before_anything_runs(project: Project, settings: dict, words: str):
    project.set(settings)
    printed = project.run("dvc", "repro", "embed", fails=True)
    assert words in printed
    assert "Traceback" not in printed
    assert not (project.root / "artifacts/embeddings").exists()
