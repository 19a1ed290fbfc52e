"""What is said of the tracking store."""

import mlflow
import pytest

from dnapair import tracking
from dnapair.errors import DnapairError


def test_passwords_in_addresses_are_not_told():
    error = RuntimeError("can't reach postgresql://user:secret@db/mlflow\nmore")
    assert tracking.reason(error) == "can't reach postgresql://db/mlflow."


def test_a_store_that_does_not_answer_is_named_without_its_password(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri("http://ada:secret@127.0.0.1:9")
    try:
        assert tracking.store_address() == "http://127.0.0.1:9"
        with pytest.raises(DnapairError, match=r"store http://127\.0\.0\.1:9 does not answer") as said:
            tracking.check_store()
    finally:
        mlflow.set_tracking_uri(before)
    assert "secret" not in str(said.value)
