"""A process that ends at once leaves nothing undone that a user would miss."""

import os
import subprocess
import sys
from pathlib import Path
from typing import TextIO

import pytest

from tests.waiting import PATIENCE

FULL = Path("/dev/full")
SCRIPT = """
import atexit, sys, threading
from dnapair.machine.ending import program

class Kept:
    def __del__(self):
        print("taken apart")

kept = Kept()

def work():
    atexit.register(print, "registered")
    threading.Timer(0.2, print, ["thread"]).start()
    print("work", end=" ")
    {end}

program(work)
"""


def run(end: str, output: int | TextIO = subprocess.PIPE) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", SCRIPT.format(end=end)],
        stdout=output,
        stderr=subprocess.PIPE,
        text=True,
        # which would be written, or not, before the end
        env={name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"},
        timeout=PATIENCE,
        check=False,
    )


@pytest.mark.parametrize(
    ("end", "status", "said"),
    [
        ("pass", 0, ""),
        ("sys.exit()", 0, ""),
        ("sys.exit(3)", 3, ""),
        ("sys.exit('what to do')", 1, "what to do\n"),
    ],
)
def test_what_is_left_to_do_is_done_and_nothing_is_taken_apart(end: str, status: int, said: str):
    done = run(end)
    assert (done.returncode, done.stderr) == (status, said)
    assert done.stdout == "work thread\nregistered\n"


def test_a_fault_in_the_code_shows_its_traceback():
    done = run("raise ValueError('a fault')")
    assert done.returncode == 1
    assert done.stderr.endswith("ValueError: a fault\n")
    assert "registered" in done.stdout


@pytest.mark.skipif(not FULL.exists(), reason="only Linux has a disk that is always full")
def test_output_that_cannot_be_written_is_a_failure():
    with FULL.open("w") as full:
        done = run("pass", full)
    assert done.returncode == 120
    assert "No space left on device" in done.stderr
