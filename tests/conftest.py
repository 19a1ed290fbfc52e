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


@pytest.fixture(autouse=True)
def _tracking_uri_of_its_own() -> Iterator[None]:
    """Take back what a test sets: a later one would wait for a server that is gone."""
    before = os.environ.get("MLFLOW_TRACKING_URI", "")
    yield
    if os.environ.get("MLFLOW_TRACKING_URI", "") != before:
        sys.modules["mlflow"].set_tracking_uri(before or None)
