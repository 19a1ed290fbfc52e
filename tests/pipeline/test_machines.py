"""The places and the machines that users have: folders of any name, line ends, no name, no home, no git."""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pipeline.conftest import BIN, ROOT, Project, copy_project, write_small_data

pytestmark = pytest.mark.slow

ODD = "my $x lab's été"


def test_a_clone_has_the_same_bytes_whatever_git_does_to_line_ends(tmp_path: Path):
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    names = [name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]
    origin = tmp_path / "origin"
    for name in names:
        (origin / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, origin / name)
    # a user's own table, as spreadsheets write it
    (origin / "datasets" / "own.csv").write_bytes(b"seq1,seq2,label\r\nACGT,ACGT,1\nACGG,ACGT,0\r\n")
    windows = ["-c", "core.autocrlf=true", "-c", "core.safecrlf=false"]
    person = ["-c", "user.name=A user", "-c", "user.email=user@example.org"]
    for words in (["init", "-q"], ["add", "-A"], [*person, "commit", "-q", "-m", "All"]):
        subprocess.run(["git", *windows, *words], cwd=origin, check=True)
    subprocess.run(
        ["git", *windows, "clone", "-q", "-c", "core.eol=crlf", origin, "clone"], cwd=tmp_path, check=True
    )
    changed = [
        name
        for name in [*names, "datasets/own.csv"]
        if (tmp_path / "clone" / name).read_bytes() != (origin / name).read_bytes()
    ]
    assert changed == []


def test_make_installs_and_data_are_prepared_in_a_folder_of_any_name(tmp_path: Path):
    project = copy_project(tmp_path / ODD)
    # the whole installation but its packages
    for name in ("requirements.txt", "constraints.txt"):
        (project.root / name).write_text("")
    toml = (project.root / "pyproject.toml").read_text()
    start, end = toml.index("[project.optional-dependencies]"), toml.index("[project.scripts]")
    (project.root / "pyproject.toml").write_text(
        f"{toml[:start]}[project.optional-dependencies]\ndev = []\n{toml[end:]}"
    )
    project.run("make", "install")
    assert (project.root / ".venv" / "bin" / "dnapair").is_file()
    assert "Nothing to be done" in project.run("make", "install")
    write_small_data(project.root / "datasets" / "small pairs")
    project.commit("Small data")
    project.run("dnapair", "use", "datasets/small pairs")
    project.run("dnapair", "run", "prepare")
    assert (project.root / "reports" / "dataset.json").is_file()


@pytest.fixture(scope="module")
def with_data(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = copy_project(tmp_path_factory.mktemp("machines") / "project")
    write_small_data(project.root / "datasets" / "small")
    project.commit("Small data")
    project.run("dnapair", "use", "datasets/small")
    project.commit("They are used")
    return project


@pytest.fixture
def project(with_data: Project, tmp_path: Path) -> Project:
    """A copy to be changed."""
    return Project(shutil.copytree(with_data.root, tmp_path / "project", symlinks=True))


def remedy(printed: str, start: str) -> str:
    """The rest of the line of a message, from where its command starts."""
    return start + next(line for line in printed.splitlines() if start in line).split(start, 1)[1]


STRANGER = ["unshare", "--user", "--map-user=12345", "--map-group=12345"]


def test_a_user_without_name_and_home_runs_and_is_told_what_dvc_needs(project: Project):
    if subprocess.run([*STRANGER, "true"], capture_output=True, check=False).returncode:
        pytest.skip("the kernel makes no users here")
    project.env = {key: value for key, value in project.env.items() if key not in ("HOME", "USER", "LOGNAME")}
    assert "getpwuid" in project.run(*STRANGER, "env", "HOME=/nowhere", "dvc", "status", fails=True)
    printed = project.run(*STRANGER, "dnapair", "doctor", fails=True)
    assert "This user (12345) has no name on this machine" in printed
    project.run(*STRANGER, "dnapair", "run", "prepare")
    assert (project.root / "reports" / "dataset.json").is_file()
    project.env |= dict(word.split("=", 1) for word in remedy(printed, "export ").split()[1:])
    assert "getpwuid" not in project.run(*STRANGER, "dvc", "status", "prepare")
    assert "has no name" not in project.run(*STRANGER, "dnapair", "doctor")


def test_a_home_that_can_only_be_read_keeps_its_settings(project: Project, tmp_path: Path):
    if subprocess.run([*STRANGER, "true"], capture_output=True, check=False).returncode:
        pytest.skip("the kernel makes no users here")
    home = tmp_path / "home"
    home.mkdir()
    (home / ".gitconfig").write_text("[alias]\n\tmine = rev-parse\n")
    home.chmod(0o555)
    project.env |= {"HOME": str(home), "USER": "somebody"}
    code = (
        "import os, subprocess; from dnapair.machine.user import missing_variables\n"
        "os.environ |= missing_variables(); print(sorted(missing_variables()))\n"
        "subprocess.run(['git', 'mine', 'HEAD'], check=True)\n"
        "import matplotlib.pyplot, dnapair.interactions.kernels"
    )
    printed = project.run(*STRANGER, sys.executable, "-c", code)
    assert "['MPLCONFIGDIR', 'NUMBA_CACHE_DIR']" in printed
    assert "Matplotlib" not in printed
    assert list(home.iterdir()) == [home / ".gitconfig"]


def test_a_folder_that_can_only_be_read_is_no_place_for_records(project: Project, tmp_path: Path):
    if subprocess.run([*STRANGER, "true"], capture_output=True, check=False).returncode:
        pytest.skip("the kernel makes no users here")
    (project.root / "mlflow.db").rename(tmp_path / "mlflow.db")
    project.root.chmod(0o555)
    try:
        printed = project.run(*STRANGER, "dnapair", "models", fails=True)
        assert "can't be written to, and MLflow's records would be in it" in printed
        project.env["MLFLOW_TRACKING_URI"] = f"sqlite:///{tmp_path}/mlflow.db"
        assert "can't be written" in project.run(*STRANGER, "dnapair", "doctor", fails=True)
        assert "can't be written" not in project.run(*STRANGER, "dnapair", "models", fails=True)
    finally:
        project.root.chmod(0o755)


def test_who_never_told_git_a_name_runs_with_another_setting(project: Project, tmp_path: Path):
    (tmp_path / "home").mkdir()
    project.env |= {"HOME": str(tmp_path / "home"), "GIT_CONFIG_NOSYSTEM": "1"}
    for part in ("name", "email"):
        project.run("git", "config", "--unset", f"user.{part}")
    # what is not committed DVC puts aside, by a commit
    (project.root / "README.md").write_text("changed\n")
    printed = project.run("dnapair", "run", "prepare", "--split.seed", "2")
    assert "dvc exp show" in printed
    assert "seed: 2" in (project.root / "params.yaml").read_text()
    # and who did, signs
    project.run("git", "config", "user.name", "Ada")
    project.run("git", "config", "user.email", "ada@example.org")
    project.run("dnapair", "run", "prepare", "--split.seed", "3")
    authors = project.run("git", "for-each-ref", "--format=%(authorname)", "refs/exps").split()
    assert "Ada" in authors


def test_without_git_the_pipeline_runs_and_its_record_has_no_commit(project: Project, tmp_path: Path):
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("sh", "env", "uname"):
        (tools / name).symlink_to(shutil.which(name) or "")
    project.env["PATH"] = f"{BIN}{os.pathsep}{tools}"
    assert "git can't be run: install it" in project.run("dnapair", "doctor", fails=True)
    project.run("dnapair", "use", "datasets/small")
    printed = project.run("dnapair", "run", "prepare")
    assert "Traceback" not in printed
    assert (project.root / "reports" / "dataset.json").is_file()


@pytest.mark.parametrize("way", ["git init; ", "dvc config --local "])
def test_a_project_from_an_archive_is_told_how_to_be_a_repository(project: Project, way: str):
    shutil.rmtree(project.root / ".git")
    for command in (["run", "prepare"], ["use", "datasets/small"], ["doctor"]):
        printed = project.run("dnapair", *command, fails=True)
        assert "This folder is not in a git repository" in printed
        assert "Traceback" not in printed
    command = remedy(printed, way).split(". Or ")[0]
    person = {"GIT_AUTHOR_NAME": "A", "GIT_AUTHOR_EMAIL": "a@b.c"}
    project.env |= person | {name.replace("AUTHOR", "COMMITTER"): value for name, value in person.items()}
    project.run("sh", "-c", command)
    project.run("dnapair", "run", "prepare")
    assert (project.root / "reports" / "dataset.json").is_file()


def test_on_a_file_system_without_locks_doctor_tells_dvc_to_use_links(project: Project, tmp_path: Path):
    compiler = shutil.which("cc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("a C compiler on Linux makes the file system's answer")
    (tmp_path / "no.c").write_text(
        "#include <errno.h>\nint flock(int file, int what) { errno = ENOLCK; return -1; }\n"
    )
    subprocess.run([compiler, "-shared", "-fPIC", "-o", "no.so", "no.c"], cwd=tmp_path, check=True)
    no_locks = ["env", f"LD_PRELOAD={tmp_path}/no.so"]
    printed = project.run(*no_locks, "dnapair", "doctor", fails=True)
    command = remedy(printed, "rm -f ").split(". If ")[0]
    project.run("sh", "-c", f"{shlex.join(no_locks)} sh -c {shlex.quote(command)}")
    printed = project.run(*no_locks, "dnapair", "run", "prepare")
    assert (project.root / "reports" / "dataset.json").is_file()
