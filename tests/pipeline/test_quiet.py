"""No command of ours says anything to anyone: every connection and look-up of its processes is watched."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from tests.pipeline.conftest import Project

pytestmark = pytest.mark.slow

WATCH = '''
"""Write down what leaves this machine, in this process and in all that it starts."""
import os
import sys

_EVENTS = ("socket.connect", "socket.sendto", "socket.sendmsg", "socket.getaddrinfo", "socket.gethostbyname")
_HERE = {"localhost", "::1", "", "0.0.0.0", "::", "None"}


def _watch(event, arguments):
    if event not in _EVENTS:
        return
    place = arguments[1] if event in _EVENTS[:3] else arguments
    # a name in the file system is a socket of this machine
    host = str(place[0]) if isinstance(place, tuple) else None
    if host is not None and host not in _HERE and not host.startswith("127."):
        with open(os.environ["DNAPAIR_TEST_WATCH"], "a") as file:
            file.write(f"{sys.argv[:3]} {event} {place}\\n")


sys.addaudithook(_watch)
'''


@pytest.fixture
def watched(finished: Project, tmp_path: Path) -> Iterator[tuple[Project, Path]]:
    """The finished project, and the file of what its commands tried."""
    (tmp_path / "sitecustomize.py").write_text(WATCH)
    before = dict(finished.env)
    finished.env["PYTHONPATH"] = f"{tmp_path}{os.pathsep}{before['PYTHONPATH']}"
    finished.env["DNAPAIR_TEST_WATCH"] = str(tmp_path / "tried.txt")
    yield finished, tmp_path / "tried.txt"
    finished.env = before


def test_our_commands_reach_for_no_other_machine(watched: tuple[Project, Path], tmp_path: Path) -> None:
    project, tried = watched
    pairs = pd.DataFrame({"seq1": ["ACGTTGCATCCGATTACAGG"], "seq2": ["TTGACCATGGCAATCCGATT"]})
    pairs.to_csv(tmp_path / "pairs.csv", index=False)
    # each a process of its own, that looks for sitecustomize
    command = (sys.executable, "-m", "dnapair")
    project.run(*command, "doctor")
    project.run(*command, "run", "prepare")
    project.run("dvc", "repro", "prepare")
    # Great Expectations
    project.run(*command, "validate")
    project.run(*command, "predict", str(tmp_path / "pairs.csv"), "--output", str(tmp_path / "out.csv"))
    assert not tried.exists(), tried.read_text()


def test_what_does_reach_out_is_seen(watched: tuple[Project, Path]) -> None:
    project, tried = watched
    # an address for documentation: nobody has it
    elsewhere = {"MLFLOW_TRACKING_URI": "http://192.0.2.1:9", "MLFLOW_HTTP_REQUEST_TIMEOUT": "1"}
    project.env |= elsewhere | {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
    project.run(sys.executable, "-m", "dnapair", "prepare", fails=True)
    assert "192.0.2.1" in tried.read_text()
