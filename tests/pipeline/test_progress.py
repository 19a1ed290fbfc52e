"""What `dnapair run` shows of DVC and the stages: in a pipe, in a terminal, and where a stage fails."""

import contextlib
import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

DVC = """
stages:
  first:
    cmd: python work.py first
    outs: [first.txt]
  second:
    matrix: {framework: [a, b]}
    cmd: python work.py second ${item.framework}
    deps: [first.txt, switch]
    outs: ["second-${item.framework}.txt"]
"""
WORK = """
import sys
from pathlib import Path
from tqdm import tqdm

name = "-".join(sys.argv[1:])
for step in tqdm(range(3), desc=f"work of {name}", dynamic_ncols=True, disable=None, mininterval=0):
    pass
if name == "first" and Path("gate").exists():
    # it ends when somebody writes
    Path("gate").read_text()
print("dnapair: a warning", file=sys.stderr)
said = Path("switch").read_text()
if name == "second-b" and said != "well":
    sys.exit(said) if said else 1 / 0
print(f"{name}: what it found")
Path(f"{name}.txt").write_text(name)
"""
WATCH = """
import os, sys
from dnapair.commands.progress import pipeline_stages, watch
from dnapair.errors import DnapairError
try:
    watch([sys.executable, "-m", "dvc", "repro"], dict(os.environ), pipeline_stages())
except DnapairError as error:
    sys.exit(f"dnapair: {error}")
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "dvc.yaml").write_text(DVC)
    (tmp_path / "work.py").write_text(WORK)
    (tmp_path / "switch").write_text("well")
    for command in (["git", "init", "--quiet"], [sys.executable, "-m", "dvc", "init", "--quiet"]):
        subprocess.run(command, cwd=tmp_path, check=True)
    return tmp_path


def environment() -> dict[str, str]:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return os.environ | {"PATH": path, "TERM": "xterm", "PYTHONWARNINGS": "ignore"}


def in_a_pipe(folder: Path) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-c", WATCH],
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, re.sub(r"\d+ s\b", "N s", done.stdout)


def in_a_terminal(folder: Path, seen_first: str) -> str:
    os.mkfifo(folder / "gate")
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    command = [sys.executable, "-c", WATCH]
    with subprocess.Popen(command, cwd=folder, env=environment(), stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        shown, held = "", True
        with contextlib.suppress(OSError):
            while content := os.read(ours, 2**16):
                shown += content.decode()
                if held and re.search(seen_first, shown):
                    (folder / "gate").write_text("go on")
                    held = False
    os.close(ours)
    assert process.returncode == 0
    return shown


def test_a_pipe_gets_a_plain_line_for_each_stage(folder: Path):
    code, shown = in_a_pipe(folder)
    assert code == 0
    lines = [" ".join(line.split()) for line in shown.splitlines()]
    stages = [line for line in lines if line.endswith("N s")]
    assert stages == ["first N s", "second@a N s", "second@b N s"]
    assert "first: what it found" in lines
    assert not re.search(r"\x1b|\r|work of|Updating|Running|git add", shown)
    assert in_a_pipe(folder) == (0, "unchanged: first, second@a, second@b\n")


def test_a_terminal_shows_what_runs_its_bar_and_what_is_to_come(folder: Path):
    shown = in_a_terminal(folder, r"first +\d+ s  work of first: 100%")
    assert "to come: data, second@a, second@b" in shown
    assert re.search(r"second@b +\d+ s\r?\n", shown)
    # the cursor is back
    assert "\x1b[?25h" in shown.rpartition("\x1b[?25l")[2]


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (
            "dnapair: the switch is off\n  switch, line 1\nPut it on.",
            "dnapair: the switch is off\n  switch, line 1\nPut it on.\n",
        ),
        ("", "exited with 1"),
    ],
)
def test_the_reason_of_a_failure_stands_last(folder: Path, said: str, reason: str):
    (folder / "switch").write_text(said)
    code, shown = in_a_pipe(folder)
    assert code == 1
    assert "second@b" in shown
    assert "failed" in shown
    assert shown.strip().endswith(reason.strip())
    # an error that nobody foresaw is shown whole
    assert ("ZeroDivisionError" in shown) == (not said)


def test_an_error_of_dvc_is_the_reason(folder: Path):
    (folder / "dvc.yaml").write_text(DVC.replace("switch]", "not_there]"))
    code, shown = in_a_pipe(folder)
    assert code == 1
    assert "not_there" in shown.rpartition("dnapair: ")[2]
