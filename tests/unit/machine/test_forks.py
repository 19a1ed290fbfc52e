"""Pieces of work in forks: what comes of them, and of those that fail."""

import json
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.waiting import PATIENCE, wait_for

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="what has threads can't be forked elsewhere")

SCRIPT = """
import json, os, signal, sys, tempfile
from pathlib import Path
from dnapair.errors import DnapairError
from dnapair.machine.forks import fork_each

def meet(piece, send):
    # all that are at work at a time have begun before one goes on
    Path(f"begun{piece}").touch()
    while len(list(Path().glob("begun*"))) < 2:
        os.sched_yield()
    send(b"%d at %d" % (piece, os.getpid()))
    send(bytes([piece]) * 100_000)

def refuse(piece, send):
    send(b"")
    raise DnapairError("it can't be done")

def find_no_room(piece, send):
    raise OSError(28, "No space left on device", "artifacts/models")

def be_wrong(piece, send):
    raise ValueError("a fault in the code")

def leave(piece, send):
    # as TensorFlow does, which deletes its own when a process ends in the ordinary way
    send(tempfile.mkstemp()[1].encode())

def be_killed(piece, send):
    tempfile.mkstemp()
    os.kill(os.getpid(), signal.SIGKILL)

def hang(piece, send):
    signal.pause()

if __name__ == "__main__":
    work, pieces, workers = sys.argv[1:]
    try:
        told = fork_each(globals()[work], int(pieces), int(workers))
        print(json.dumps([[piece, sent.decode("latin1")] for piece, sent in told]))
    except Exception as error:
        print(type(error).__name__, error)
"""


def start(folder: Path, *words: object) -> "subprocess.Popen[str]":
    (folder / "work.py").write_text(SCRIPT)
    command = [sys.executable, "work.py", *map(str, words)]
    (folder / "tmp").mkdir()
    env = os.environ | {"TMPDIR": str(folder / "tmp")}
    return subprocess.Popen(command, cwd=folder, env=env, stdout=subprocess.PIPE, text=True)


def result(folder: Path, *words: object) -> str:
    process = start(folder, *words)
    printed, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    return printed


@pytest.mark.parametrize("workers", [2, 3, 5])
def test_all_pieces_are_done_side_by_side_each_in_a_process_of_its_own(tmp_path: Path, workers: int):
    told = json.loads(result(tmp_path, "meet", 5, workers))
    first = {piece: sent.split(" at ") for piece, sent in told if " at " in sent}
    assert {piece: int(number) for piece, (number, _) in first.items()} == {
        piece: piece for piece in range(5)
    }
    assert len({process for _, process in first.values()}) == 5
    for piece in range(5):
        # what a piece sends comes in its order, whole
        assert [sent for place, sent in told if place == piece][1:] == [chr(piece) * 100_000]


@pytest.mark.parametrize(
    ("work", "said"),
    [
        ("refuse", "DnapairError it can't be done"),
        ("find_no_room", "DnapairError No space left on device (artifacts/models). Make room "),
        ("be_killed", "DnapairError A process of this stage ended with -9, "),
        ("be_wrong", "RuntimeError a fork failed:\nTraceback "),
    ],
)
def test_what_a_piece_fails_of_is_raised_where_it_was_asked_for(tmp_path: Path, work: str, said: str):
    assert result(tmp_path, work, 3, 2).startswith(said)


@pytest.mark.parametrize("work", ["leave", "be_killed"])
def test_what_forks_left_among_temporary_files_goes_with_them(tmp_path: Path, work: str):
    told = result(tmp_path, work, 3, 2)
    assert str(tmp_path / "tmp") in told or work == "be_killed"
    assert not list((tmp_path / "tmp").iterdir())


def test_forks_end_with_the_one_that_made_them_however_it_ends(tmp_path: Path):
    with start(tmp_path, "hang", 3, 2) as process:
        parent = psutil.Process(process.pid)
        wait_for(lambda: len(parent.children()) == 3, process)
        forks = parent.children()
        process.kill()
    wait_for(lambda: not any(map(lives, forks)))


def lives(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
