"""Processes killed at any moment, and `dvc repro` after it: the end is that of a run nobody disturbed."""

import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import psutil
import pytest
import yaml

from tests.pipeline.conftest import Project
from tests.waiting import Gate, wait_for

STAGES = {
    "prepare": "artifacts",
    "finetune": "artifacts",
    "embed": "artifacts/embeddings",
    "interact": "artifacts/interactions",
    "scale": "artifacts",
    "validate": "reports",
    "tune": "reports",
    "train@torch": "artifacts/models",
    "train@tensorflow": "artifacts/models",
    "score": "artifacts/scores",
    "baselines": "artifacts",
    "crossvalidate": "reports",
    "evaluate": "reports",
    "register": "reports",
}
"""The folder in which each stage's temporary files appear."""
LONGEST = 15.0


@pytest.fixture
def copy(finished: Project, tmp_path: Path) -> Project:
    root = tmp_path / "project"
    shutil.copytree(finished.root, root, symlinks=True)
    return Project(root)


def forget(project: Project, stages: Iterable[str]) -> None:
    """Take what stages made before from DVC's cache, else it would fetch that and run nothing."""
    shutil.rmtree(project.root / ".dvc/cache/runs", ignore_errors=True)
    lock = yaml.safe_load((project.root / "dvc.lock").read_text())["stages"]
    for digest in (out["md5"] for stage in stages for out in lock[stage]["outs"]):
        (project.root / ".dvc/cache/files/md5" / digest[:2] / digest[2:]).unlink(missing_ok=True)


def outputs(project: Project) -> dict[str, bytes]:
    """Read all that the pipeline leaves, DVC's lock file too."""
    files = {
        path
        for folder in ("artifacts", "reports")
        for path in (project.root / folder).rglob("*")
        if path.is_file() and path.suffix != ".lock"
    }
    files.add(project.root / "dvc.lock")
    return {str(path.relative_to(project.root)): path.read_bytes() for path in files}


def start(project: Project, *command: str, gate: Gate | None = None) -> subprocess.Popen:
    return subprocess.Popen(
        command,
        cwd=project.root,
        env=gate.put_into(project.env) if gate else project.env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def forced(stage: str) -> list[str]:
    return ["dvc", "repro", "--force", "--single-item", stage]


def kill_in(project: Project, stage: str, moment: Callable[[], bool]) -> bool:
    """Run a stage, kill it with all its processes at a moment; return whether it came."""
    process = start(project, *forced(stage))
    wait_for(lambda: process.poll() is not None or moment(), every=0.0005)
    came = process.poll() is None
    if came:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return came


def writing(project: Project, stage: str) -> Callable[[], bool]:
    folder = project.root / STAGES[stage]
    return lambda: folder.is_dir() and any(folder.glob(".*.tmp*"))


def after(seconds: float) -> Callable[[], bool]:
    end = time.monotonic() + seconds
    return lambda: time.monotonic() > end


def repaired(project: Project) -> dict[str, bytes]:
    said = project.run("dvc", "repro", "--no-run-cache")
    assert "Traceback" not in said
    return outputs(project)


def gate_of_writing(project: Project, stage: str) -> Gate:
    """Make a gate at which a stage has begun to write, and none of it is in its place."""
    folder = project.root.with_name(f"gate of {stage}")
    return Gate(folder, "os.rename", rf"{STAGES[stage]}/\.[^/]*\.tmp")


def kill_while_writing(project: Project, stage: str) -> None:
    gate = gate_of_writing(project, stage)
    process = start(project, *forced(stage), gate=gate)
    gate.wait(process)
    assert writing(project, stage)()
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@pytest.mark.slow
def test_killed_while_they_write_the_stages_end_as_undisturbed(copy: Project):
    before = outputs(copy)
    # each needs the outputs of those that come later here
    stages = ("evaluate", "score", "train@torch", "scale", "prepare")
    forget(copy, stages)
    for stage in stages:
        kill_while_writing(copy, stage)
    assert outputs(copy) != before
    assert repaired(copy) == before


@pytest.mark.slow
def test_dvc_killed_alone_and_two_at_once_are_one_message(copy: Project):
    before = outputs(copy)
    forget(copy, ["score"])
    gate = gate_of_writing(copy, "score")
    process = start(copy, *forced("score"), gate=gate)
    gate.wait(process)
    child = psutil.Process(int((copy.root / "artifacts/locks/score@torch.lock").read_text()))
    # the second comes while the first is at work
    said = copy.run("dnapair", "run", "score", fails=True)
    assert "Traceback" not in said
    assert f"{process.pid}" in said
    assert "dnapair: " in said
    process.kill()
    process.wait()
    # what it began lives on
    said = copy.run("dvc", "repro", fails=True)
    assert "Traceback" not in said
    assert f"Process {child.pid} is at work on the stage score torch" in said
    gate.open()
    wait_for(lambda: not child.is_running())
    assert repaired(copy) == before


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(40))
def test_killed_at_any_moment_the_pipeline_ends_as_undisturbed(copy: Project, seed: int):
    before = outputs(copy)
    rng = random.Random(seed)  # noqa: S311 # moments, not secrets
    stages = list(STAGES)
    # from the end of the pipeline on, so that each finds its inputs
    chosen = sorted(rng.sample(range(len(stages)), 3), reverse=True)
    forget(copy, [stages[place] for place in chosen])
    for stage in (stages[place] for place in chosen):
        seconds = rng.uniform(0.5, LONGEST)
        # a share of the kills hits what a stage writes
        moment = writing(copy, stage) if rng.random() < 0.5 else after(seconds)
        print(f"seed {seed}: {stage}, killed: {kill_in(copy, stage, moment)}")
    after_all = repaired(copy)
    # a stage that was killed when all was in its place is not run again, so the note of its process stays
    assert {name: content for name, content in after_all.items() if not name.endswith(".open")} == before


@pytest.mark.soak
@pytest.mark.skipif(shutil.which("faketime") is None, reason="faketime is not installed")
def test_clock_that_goes_back_between_and_in_stages_changes_nothing(copy: Project):
    before = outputs(copy)
    copy.run(*forced("prepare"))
    copy.run("faketime", "-f", "-1h", *forced("scale"))
    copy.run("faketime", "-f", "+1d", *forced("train@torch"))
    copy.run("faketime", "-f", "-1h", *forced("embed"))
    assert outputs(copy) == before
    assert "up to date" in copy.run("dvc", "repro")
