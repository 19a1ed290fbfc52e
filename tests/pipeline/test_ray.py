"""embed.engine: ray gives what the local engine gives, whoever dies on the way."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.pipeline.conftest import Project, copy_project, write_small_data
from tests.waiting import PATIENCE, reserved_port, wait_for

pytestmark = pytest.mark.slow

DRIVER = Path(__file__).with_name("ray_driver.py")
SHARDS = 24
FREE = 8
"""Shards that are begun before the workers wait to be killed."""
# Ray's workers give way to all others by default: on a busy machine they would hardly come to work
NICE = {"RAY_worker_niceness": "0"}
SETTINGS = {"embed.engine": "ray", "embed.ray.actors": 2, "embed.ray.num_cpus": 0.5}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with its sequences ready."""
    project = copy_project(tmp_path_factory.mktemp("ray") / "project")
    project.env |= NICE
    write_small_data(project.root / "data")
    project.run("dnapair", "prepare")
    project.run("dnapair", "finetune")
    return project


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What the local engine makes of the driver's sequences."""
    folder = tmp_path_factory.mktemp("local") / "embeddings"
    finish(folder, start(folder, "local"))
    return contents(folder)


def start(folder: Path, engine: str = "ray", free: int = SHARDS) -> subprocess.Popen[bytes]:
    """Start to fill a store, whose workers wait where more than so many shards are begun."""
    command = [sys.executable, str(DRIVER), str(folder), engine, str(free), str(SHARDS)]
    with folder.with_suffix(".err").open("w") as errors:
        return subprocess.Popen(command, stderr=errors, env=os.environ | NICE, start_new_session=True)


def finish(folder: Path, process: subprocess.Popen[bytes], fails: bool = False) -> str:
    """Wait for the end; give back what was printed."""
    process.wait(PATIENCE)
    printed = folder.with_suffix(".err").read_text()
    assert (process.returncode == 1) == fails, printed
    return printed


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def work(folder: Path) -> list[tuple[int, str]]:
    """Every time that a process began a shard: its id, and the shard's first sequence."""
    log = folder.with_suffix(".log")
    lines = log.read_text().splitlines() if log.exists() else []
    return [(int(process), sequence) for process, sequence in map(str.split, lines)]


def both_work(folder: Path) -> bool:
    workers = {process for process, _ in work(folder)}
    return len(workers) == 2 and len(list(folder.glob("shard-*.npy"))) >= 4


def test_ray_writes_the_bytes_that_the_local_engine_writes(project: Project):
    folder = project.root / "artifacts" / "embeddings"
    project.run("dnapair", "embed")
    local = contents(folder)
    project.set(SETTINGS)
    shutil.rmtree(folder)
    printed = project.run("dnapair", "embed")
    assert contents(folder) == local
    assert not [line for line in printed.splitlines() if "ray" in line.lower()], printed


def test_killed_actor_loses_and_doubles_nothing(tmp_path: Path, expected: dict[str, bytes]):
    folder = tmp_path / "embeddings"
    process = start(folder, free=FREE)
    wait_for(lambda: both_work(folder), process)
    os.kill(work(folder)[-1][0], signal.SIGKILL)
    # a new process takes the place of the one that was killed
    wait_for(lambda: len({worker for worker, _ in work(folder)}) == 3, process)
    folder.with_suffix(".go").touch()
    finish(folder, process)
    assert contents(folder) == expected
    assert len({sequence for _, sequence in work(folder)}) == SHARDS


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT])
def test_stopped_run_leaves_no_process_and_goes_on(tmp_path: Path, expected: dict[str, bytes], end: int):
    folder = tmp_path / "embeddings"
    process = start(folder, free=FREE)
    wait_for(lambda: both_work(folder), process)
    helpers = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(end)
    process.wait(PATIENCE)
    wait_for(lambda: not [helper for helper in helpers if helper.is_running()])
    written = {path: path.stat().st_mtime_ns for path in folder.glob("shard-*.npy")}
    assert 4 <= len(written) < SHARDS
    folder.with_suffix(".log").unlink()
    folder.with_suffix(".go").touch()

    finish(folder, start(folder))
    assert contents(folder) == expected
    kept = [path for path, time in written.items() if path.stat().st_mtime_ns == time]
    # the end may come between a shard and its line in the journal: it is made again
    assert len(kept) >= len(written) - 1
    assert len(work(folder)) == SHARDS - len(kept)


def test_failing_actor_is_one_message(tmp_path: Path):
    folder = tmp_path / "embeddings"
    printed = finish(folder, start(folder, free=-1), fails=True)
    assert "DnapairError: embed.engine: ray: an actor failed: ValueError: no shard is free" in printed
    assert "RayTaskError" not in printed


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"embed.ray.num_cpus": 4000}, "actor(s) with num_cpus: 4000 and num_gpus: 0 each don't fit"),
        ({"embed.ray.address": "127.0.0.1:{port}"}, "nothing answers at 127.0.0.1:"),
        ({"embed.device": "cuda"}, "PyTorch sees no GPU"),
    ],
)
def test_mistake_is_one_message(project: Project, settings: dict, words: str):
    shutil.rmtree(project.root / "artifacts" / "embeddings", ignore_errors=True)
    before = (project.root / "params.yaml").read_text()
    try:
        with reserved_port() as port:
            given = {
                key: str(value).format(port=port) if "{" in str(value) else value
                for key, value in settings.items()
            }
            project.set(SETTINGS | given)
            printed = project.run("dnapair", "embed", fails=True)
    finally:
        (project.root / "params.yaml").write_text(before)
    assert words in printed
    assert "Traceback" not in printed


def test_ray_that_is_not_installed_is_said(project: Project):
    project.set(SETTINGS)
    command = "import sys; sys.modules['ray'] = None; from dnapair.cli import main; main()"
    printed = project.run(sys.executable, "-c", command, "embed", fails=True)
    assert "embed.engine: ray needs Ray" in printed
    assert "Traceback" not in printed
