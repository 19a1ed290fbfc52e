"""No test is timed: all wait by `tests/waiting.py`, and count on no time in which something is done."""

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
TIMED = re.compile(
    r"deadline=|\bsleep\(|monotonic\(|perf_counter\(|wait_for_timeout\(|timeout=\d|\.(wait|join)\(\d"
)
LISTED = {
    "conftest.py": "there is no deadline",
    "waiting.py": "where all wait",
    "gate/sitecustomize.py": "the other side of its gate",
    "pipeline/ray_driver.py": "as that",
    "pipeline/test_kill.py": "kills at moments drawn by chance, whatever is at work then",
    "pipeline/test_team.py": "an address that never answers is as good as one that refuses",
}


def test_no_test_sleeps_measures_time_or_has_a_deadline() -> None:
    files = {str(path.relative_to(TESTS)): path for path in TESTS.rglob("*.py") if path != Path(__file__)}
    assert {name for name, path in files.items() if TIMED.search(path.read_text())} == set(LISTED)
