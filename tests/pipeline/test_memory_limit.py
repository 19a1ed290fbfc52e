"""The whole pipeline on the bundled data in 2 GB of memory: the kernel ends what needs more."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from dnapair.storage.files import read_json
from tests.pipeline.conftest import ROOT, Project

pytestmark = pytest.mark.soak
LIMIT = 2 * 10**9
CGROUPS = Path("/sys/fs/cgroup")
# version 1 of the kernel's control groups, then version 2: where a group is made, and its limits
VERSIONS = (
    (CGROUPS / "memory", {"memory.limit_in_bytes": LIMIT, "memory.memsw.limit_in_bytes": LIMIT}),
    (CGROUPS, {"memory.max": LIMIT, "memory.swap.max": 0}),
)


@pytest.fixture
def group() -> Iterator[Path]:
    """A control group whose processes have 2 GB together, swap included."""
    for folder, limits in VERSIONS:
        group = folder / "dnapair-test"
        try:
            group.mkdir()
        except OSError:
            continue
        try:
            if all((group / limit).exists() for limit in limits):
                for limit, most in limits.items():
                    (group / limit).write_text(str(most))
                yield group
                return
        finally:
            group.rmdir()
    pytest.skip("no control group can be made here, which limits the memory of a run")


def limited(group: Path, *command: str) -> tuple[str, ...]:
    """A command whose process, and its children, are in the group."""
    return ("sh", "-c", f'echo $$ > {group}/cgroup.procs && exec "$@"', "sh", *command)


def test_the_limit_is_one(group: Path, tmp_path: Path) -> None:
    fill = "held = bytearray(b'1') * (25 * 10**8)"
    ended = subprocess.run(limited(group, "python", "-c", fill), check=False, capture_output=True)
    assert ended.returncode == -9


def test_the_default_run_fits_into_two_gigabytes(group: Path, tmp_path: Path) -> None:
    subprocess.run(["git", "clone", "-q", str(ROOT), str(tmp_path / "clone")], check=True)
    project = Project(tmp_path / "clone")
    project.run("git", "config", "user.name", "A user")
    project.run("git", "config", "user.email", "user@example.org")
    project.run(*limited(group, "dnapair", "run"))
    for framework in ("torch", "tensorflow"):
        metrics = read_json(project.root / "reports" / framework / "metrics.json")
        assert metrics["roc_auc"] > 0.85
