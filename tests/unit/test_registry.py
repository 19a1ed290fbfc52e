"""The champion's alias, moved by several at once."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from dnapair.evaluation.gate import Decision

pytestmark = pytest.mark.filterwarnings("default")
NAME, ALIAS = "pairs", "champion"


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store") / "mlflow.db"


@pytest.fixture(scope="module")
def store(database: Path) -> Iterator[object]:
    """A store in use, whose making takes seconds."""
    import mlflow

    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(f"sqlite:///{database}")
    yield mlflow.MlflowClient()
    mlflow.set_tracking_uri(before)


@pytest.fixture
def client(store, tmp_path: Path) -> Iterator[object]:
    """It with versions 1 and 2 and no champion."""
    store.create_registered_model(NAME)
    for _ in range(2):
        store.create_model_version(NAME, str(tmp_path))
    yield store
    store.delete_registered_model(NAME)


def test_a_champion_of_somebody_else_while_deciding_is_decided_against(client):
    from dnapair.registry import decide_against_champion

    seen = []

    def decide(known) -> Decision:
        seen.append(known and known.version)
        if known is None:
            client.set_registered_model_alias(NAME, ALIAS, 1)
        return Decision(known is None, f"against {seen[-1]}")

    assert decide_against_champion(NAME, ALIAS, decide) == Decision(False, "against 1")
    assert seen == [None, 1]
    assert decide_against_champion(NAME, ALIAS, decide).reason == "against 1"
    assert seen == [None, 1, 1]


def test_a_store_that_fails_is_not_taken_for_one_without_a_champion(client, database: Path):
    import sqlite3

    from mlflow.exceptions import MlflowException

    from dnapair.registry import champion

    assert champion(NAME, ALIAS) is None
    assert champion("no such model", ALIAS) is None
    client.set_registered_model_alias(NAME, ALIAS, 2)
    assert champion(NAME, ALIAS).version == 2
    with sqlite3.connect(database) as connection:
        connection.execute("ALTER TABLE registered_model_aliases RENAME TO gone")
    with pytest.raises(MlflowException):
        champion(NAME, ALIAS)
    connection.execute("ALTER TABLE gone RENAME TO registered_model_aliases")
