"""Stages that DVC runs hand their work over to a process that has their imports, and nobody can tell."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.waiting import PATIENCE, wait_for

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="stages hand over on Linux alone"),
]

# its name is what the stages know DVC by
DVC = """
import json, signal, subprocess, sys
signal.signal(signal.SIGINT, lambda *_: None)
for line in sys.stdin:
    asked = json.loads(line)
    stage = subprocess.Popen(
        [sys.executable, "-m", "dnapair", *asked["words"]],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=asked["environment"],
    )
    print(stage.pid, flush=True)
    out, error = stage.communicate()
    print(json.dumps([stage.returncode, out, error]), flush=True)
"""
WRONG = "data: 3\n"


class Pipeline:
    """A process as DVC's with some targets, which runs what it is told to."""

    def __init__(self, folder: Path, *targets: str) -> None:
        (folder / "artifacts").mkdir(parents=True)
        (folder / "dvc").write_text(DVC)
        self.folder = folder
        self.params = folder / "params.yaml"
        self.environment = os.environ | {"COLUMNS": "80"}
        self.process = subprocess.Popen(
            [sys.executable, "dvc", "repro", *targets],
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def begin(self, *words: str, environment: Mapping[str, str] | None = None) -> psutil.Process:
        """Have a stage started."""
        asked = {"words": words, "environment": self.environment | dict(environment or {})}
        self.process.stdin.write(json.dumps(asked) + "\n")
        self.process.stdin.flush()
        return psutil.Process(int(self.process.stdout.readline()))

    def end(self) -> list[Any]:
        """Wait for its end; return its exit code, and what it printed."""
        return json.loads(self.process.stdout.readline())

    def forks(self) -> list[psutil.Process]:
        """Return the warm process and all that it forked."""
        own = ["dnapair.commands.warm", str(self.process.pid)]
        alive = psutil.process_iter(["cmdline", "ppid"])
        return [process for process in alive if (process.info["cmdline"] or [])[3::2] == own]

    @contextmanager
    def held(self) -> Iterator[tuple[psutil.Process, psutil.Process]]:
        """Have a stage wait where it reads params.yaml; give it, and the process that does its work."""
        self.params.unlink()
        os.mkfifo(self.params)
        writers: list[int] = []

        def is_read() -> bool:
            with suppress(OSError):
                # refused while nobody reads
                writers.append(os.open(self.params, os.O_WRONLY | os.O_NONBLOCK))
            return bool(writers)

        try:
            stage = self.begin("scale")
            wait_for(is_read, self.process)
            parents = {fork.pid: fork.info["ppid"] for fork in self.forks()}
            # the fork of the fork that minds it
            (worker,) = (pid for pid in parents.keys() - parents.values() if parents[pid] in parents)
            yield stage, psutil.Process(worker)
        finally:
            for writer in writers:
                os.close(writer)
            self.params.unlink()
            self.params.write_text(WRONG)


@contextmanager
def started(folder: Path, *targets: str) -> Iterator[Pipeline]:
    pipeline = Pipeline(folder, *targets)
    pipeline.params.write_text(WRONG)
    with pipeline.process:
        try:
            yield pipeline
            pipeline.process.stdin.close()
            # with DVC's process it ends too, and leaves nothing
            wait_for(lambda: not pipeline.forks())
            wait_for(lambda: not list((folder / "artifacts" / "locks").glob("*.socket")))
        finally:
            with suppress(ProcessLookupError):
                os.killpg(pipeline.process.pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    with started(tmp_path_factory.mktemp("warm") / "project") as pipeline:
        for _ in range(3):
            pipeline.begin("scale")
            assert pipeline.end()[0] == 1
        locks = pipeline.folder / "artifacts" / "locks"
        wait_for(lambda: list(locks.glob(f"warm-{pipeline.process.pid}-*.socket")), pipeline.process)
        # a fork answers until all is imported
        wait_for(lambda: len(pipeline.forks()) == 1, pipeline.process)
        yield pipeline


def alone(pipeline: Pipeline, *words: str) -> list[Any]:
    done = subprocess.run(
        [sys.executable, "-m", "dnapair", *words],
        cwd=pipeline.folder,
        env=pipeline.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return [done.returncode, done.stdout, done.stderr]


def test_a_few_stages_start_nothing_and_leave_no_mark_of_others(tmp_path: Path):
    with started(tmp_path / "project") as cold:
        left = cold.folder / "artifacts" / "locks" / f"warm-{2**22 + 1}-00000000.lock"
        left.parent.mkdir()
        left.touch()
        for _ in range(2):
            cold.begin("scale")
            cold.end()
        assert not cold.forks()
        assert not left.exists()


def test_prepare_starts_it_at_once_as_all_others_follow(tmp_path: Path):
    with started(tmp_path / "project") as pipeline:
        pipeline.begin("prepare")
        pipeline.end()
        assert pipeline.forks()


def test_prepare_starts_nothing_where_it_alone_was_asked_for(tmp_path: Path):
    with started(tmp_path / "project", "prepare") as pipeline:
        pipeline.begin("prepare")
        pipeline.end()
        assert not pipeline.forks()


def test_what_no_target_needs_is_not_imported(warm: Pipeline, tmp_path: Path):
    def is_all(pipeline: Pipeline, tensorflow: bool) -> bool:
        """Tell whether nothing is at work but one process, which has TensorFlow or has not."""
        loaded = []
        # it may be about to end
        with suppress(psutil.NoSuchProcess):
            loaded = [
                any("libtensorflow_framework" in file.path for file in process.memory_maps())
                for process in pipeline.forks()
            ]
        return loaded == [tensorflow]

    with started(tmp_path / "project", "scale") as pipeline:
        pipeline.begin("prepare")
        pipeline.end()
        locks = pipeline.folder / "artifacts" / "locks"
        wait_for(lambda: list(locks.glob("warm-*.socket")), pipeline.process)
        assert is_all(pipeline, tensorflow=False)
    wait_for(lambda: is_all(warm, tensorflow=True), warm.process)
    # what follows is run too: one answers while the other imports for it
    with started(tmp_path / "other", "--downstream", "scale") as pipeline:
        pipeline.begin("prepare")
        pipeline.end()
        wait_for(lambda: len(pipeline.forks()) == 2, pipeline.process)


def test_who_does_the_work_can_not_be_told(warm: Pipeline):
    for words in (["scale"], ["scale", "--help"], ["nothing"], ["train", "torch"]):
        warm.begin(*words)
        assert warm.end() == alone(warm, *words)
    # each in its own environment and folder
    warm.begin("doctor", environment={"MLFLOW_TRACKING_URI": "http://127.0.0.1:1"})
    assert "127.0.0.1:1" in warm.end()[1]
    with warm.held() as (stage, worker):
        assert worker.cwd() == stage.cwd()
        assert stage.memory_info().rss < worker.memory_info().rss / 3
    assert warm.end()[0] == 1


@pytest.mark.parametrize(
    ("ends", "code"),
    [
        (lambda stage, worker: stage.kill(), -signal.SIGKILL),
        (lambda stage, worker: stage.terminate(), -signal.SIGTERM),
        (lambda stage, worker: worker.kill(), -signal.SIGKILL),
        (lambda stage, worker: worker.parent().kill(), -signal.SIGKILL),
        (lambda stage, worker: os.killpg(os.getpgid(stage.pid), signal.SIGINT), 130),
    ],
    ids=["killed", "terminated", "its worker killed", "its minder killed", "interrupted"],
)
def test_a_stage_and_its_worker_end_together(
    warm: Pipeline, ends: Callable[[psutil.Process, psutil.Process], None], code: int
):
    with warm.held() as (stage, worker):
        ends(stage, worker)
        assert warm.end()[0] == code
        wait_for(lambda: len(warm.forks()) == 1)
    # and the next one is done as ever
    warm.begin("scale")
    assert warm.end() == alone(warm, "scale")


def test_before_all_is_imported_a_fork_of_what_there_is_does_the_work(tmp_path: Path):
    with started(tmp_path / "project") as pipeline:
        pipeline.begin("prepare")
        pipeline.end()
        wait_for(lambda: len(pipeline.forks()) == 2, pipeline.process)
        (importing,) = (fork for fork in pipeline.forks() if fork.parent() not in pipeline.forks())
        importing.suspend()
        with pipeline.held() as (stage, worker):
            assert stage.memory_info().rss < worker.memory_info().rss / 3
        assert pipeline.end()[0] == 1
        importing.resume()
        wait_for(lambda: len(pipeline.forks()) == 1, pipeline.process)
        pipeline.begin("scale")
        assert pipeline.end() == alone(pipeline, "scale")


def test_where_it_was_killed_stages_do_their_work_themselves(warm: Pipeline):
    # the last test of this process
    for process in warm.forks():
        process.kill()
        process.wait(PATIENCE)
    for _ in range(4):
        warm.begin("scale")
        assert warm.end() == alone(warm, "scale")
    assert not warm.forks()
    # the next pipeline would remove it
    (left,) = (warm.folder / "artifacts" / "locks").glob("*.socket")
    left.unlink()
