"""The places and the machines that users have: folders of any name, line ends, no name, no home, no git."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.pipeline.conftest import ROOT, copy_project, write_small_data

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
