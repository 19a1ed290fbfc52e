"""What holds for every test."""

import os
import sys
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from dnapair.machine.environment import ENVIRONMENT

# as the command line has it, and before PyTorch is loaded: tests run two at a time
os.environ.setdefault("OMP_WAIT_POLICY", ENVIRONMENT["OMP_WAIT_POLICY"])

# an example may take as long as it takes: other work on the same cores must not decide what passes
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

LONG = ("test_readme.py", "test_tracking_faults.py", "test_remedies.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take minutes: the other ones share what cores are left, to the end."""
    items.sort(key=lambda item: LONG.index(item.path.name) if item.path.name in LONG else len(LONG))


@pytest.fixture(autouse=True)
def _tracking_uri_of_its_own() -> Iterator[None]:
    """Take back what a test sets: a later one would wait for a server that is gone."""
    before = os.environ.get("MLFLOW_TRACKING_URI", "")
    yield
    if os.environ.get("MLFLOW_TRACKING_URI", "") != before:
        sys.modules["mlflow"].set_tracking_uri(before or None)
