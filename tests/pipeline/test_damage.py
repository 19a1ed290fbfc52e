"""Damaged files, full disks and folders that can't be written: found, named, nothing half-written, mended."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pipeline.conftest import Project
from tests.pipeline.stage_driver import flipped

pytestmark = pytest.mark.slow
DRIVER = str(Path(__file__).with_name("stage_driver.py"))

READERS = [
    ("data/pairs.csv", "prepare", "data.dvc"),
    ("data/sequences.fasta", "prepare", "data.dvc"),
    ("artifacts/dataset/sequences.parquet", "embed", "prepare"),
    ("artifacts/encoder/model.safetensors", "embed", "finetune"),
    ("artifacts/dataset/pairs.parquet", "scale", "prepare"),
    ("artifacts/embeddings/shard-00002.npy", "scale", "embed"),
    ("artifacts/interactions/shard-00000.npy", "scale", "interact"),
    ("artifacts/normalized/embeddings.npy", "validate", "scale"),
    ("artifacts/normalized/interactions.json", "validate", "scale"),
    ("artifacts/normalized/scaler.safetensors", "validate", "scale"),
    ("artifacts/normalized/val.parquet", "tune", "scale"),
    ("artifacts/normalized/train.parquet", "train torch", "scale"),
    ("artifacts/normalized/interactions.npy", "train tensorflow", "scale"),
    ("artifacts/models/torch/weights.safetensors", "score", "train@torch"),
    ("artifacts/models/tensorflow/training.json", "score", "train@tensorflow"),
    ("artifacts/normalized/test.parquet", "baselines", "scale"),
    ("artifacts/scores/torch/test.parquet", "evaluate", "score"),
    ("artifacts/baselines/test.parquet", "evaluate", "baselines"),
    ("artifacts/models/torch/history.csv", "register", "train@torch"),
    ("artifacts/normalized/embeddings.npy", "export", "scale"),
]
WRITERS = [
    "prepare",
    "finetune",
    "embed",
    "scale",
    "train torch",
    "score",
    "baselines",
    "evaluate",
]


def run(project: Project, commands: list[tuple[str | None, str]]) -> list[str | None]:
    """Run commands one after the other, each beside a damaged file or none."""
    asked = json.dumps([(file, words.split()) for file, words in commands])
    return json.loads(project.run(sys.executable, DRIVER, asked).splitlines()[-1])


def contents(project: Project) -> dict[str, bytes]:
    """Read all that the stages wrote, and what is left of what they began to write."""
    return {
        str(path.relative_to(project.root)): path.read_bytes()
        for folder in ("artifacts", "reports")
        for path in (project.root / folder).rglob("*")
        if path.is_file() and path.suffix != ".lock" and path.name != "filler"
    }


@pytest.fixture
def copy(finished: Project, tmp_path: Path) -> Project:
    root = tmp_path / "project"
    shutil.copytree(finished.root, root, symlinks=True)
    return Project(root)


def test_a_flipped_bit_in_any_file_is_found_named_and_stops_its_reader(copy: Project):
    before = contents(copy)
    found = run(copy, [(file, command) for file, command, _ in READERS])
    for (file, command, remedy), message in zip(READERS, found, strict=True):
        assert message, f"{command} did not see that {file} is damaged"
        assert message.startswith(f"dnapair: {file} is "), message
        assert remedy in message
    # embed empties no store before it has looked at what it embeds
    assert contents(copy) == before


def test_what_the_message_says_mends_the_file(copy: Project):
    path = copy.root / "artifacts/normalized/embeddings.npy"
    whole = path.read_bytes()
    context = flipped(path)
    context.__enter__()
    (message,) = run(copy, [(None, "export")])
    assert message
    copy.run(*message.split("Make it again: ")[1].split())
    assert path.read_bytes() == whole
    assert run(copy, [(None, "export")]) == [None]
    assert "up to date" in copy.run("dvc", "status")


@pytest.fixture
def small_disk(copy: Project) -> Iterator[Path]:
    """The project's outputs on file systems of their own, with all room taken but for a lock's file."""
    mounted = []
    for name in ("artifacts", "reports"):
        folder, aside = copy.root / name, copy.root / f"{name}.aside"
        folder.rename(aside)
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(folder)]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("mounting a small file system needs root")
        mounted.append(folder)
        shutil.copytree(aside, folder, dirs_exist_ok=True)
        # a lock's file has room: it is there
        (folder / "locks").mkdir(exist_ok=True)
        for stage in WRITERS:
            (folder / "locks" / f"{stage.replace(' ', '@')}.lock").write_text("0")
        with (folder / "filler").open("wb", buffering=0) as filler:
            try:
                while True:
                    filler.write(bytes(4096))
            except OSError:
                pass
    yield copy.root
    for folder in mounted:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_full_and_read_only_disks_stop_each_stage_with_a_word_and_harm_nothing(
    copy: Project, small_disk: Path
):
    before = contents(copy)
    # embed empties its store first, which makes room: test_faults.py has it
    order = [command for command in WRITERS if command != "embed"]
    for command, message in zip(order, run(copy, [(None, one) for one in order]), strict=True):
        assert message, f"{command} did not see that the disk is full"
        assert message.startswith("dnapair: "), message
        assert "No space left on device" in message
    assert contents(copy) == before
    for folder in ("artifacts", "reports"):
        subprocess.run(["mount", "-o", "remount,ro", str(small_disk / folder)], check=True)
    for command, message in zip(WRITERS, run(copy, [(None, one) for one in WRITERS]), strict=True):
        assert message, f"{command} did not see that the disk can't be written"
        assert message.startswith("dnapair: Read-only file system"), message
    assert contents(copy) == before
    for folder in ("artifacts", "reports"):
        subprocess.run(["mount", "-o", "remount,rw", str(small_disk / folder)], check=True)
        (small_disk / folder / "filler").unlink()
    assert run(copy, [(None, "prepare"), (None, "scale"), (None, "score")]) == [None] * 3
    assert contents(copy) == before
