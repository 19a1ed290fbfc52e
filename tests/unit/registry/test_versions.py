"""Models in a registry of sqlite: of this dnapair, of an older one, damaged; a choice of several people."""

import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import mlflow
import pandas as pd
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from mlflow.store.artifact.utils.models import get_model_name_and_version
from pydantic import ValidationError
from sqlalchemy import Engine, event

from dnapair.errors import DnapairError
from dnapair.evaluation.gate import Decision
from dnapair.params.names import OWN_TAGS
from dnapair.params.sections import Register
from dnapair.registry import lifecycle, version_tags
from dnapair.registry.lifecycle import Lifecycle
from dnapair.registry.loading import load_scorer
from dnapair.registry.versions import log_pair_model
from dnapair.scoring.scorer import PairScorer
from dnapair.tracking.model_files import parse_address
from tests.small_models import SEQUENCES, as_version_0_1_0_wrote_it, make_bundle

# MLflow itself runs in these tests: what it warns of in its own code is not ours to mend
pytestmark = pytest.mark.filterwarnings("default")

NAME, ALIAS = "pairs", "champion"
OLD_MODEL = Path(__file__).parents[1] / "old_models" / "serving_0_1_0.py"
PAIRS = pd.DataFrame({"seq1": SEQUENCES[:20], "seq2": SEQUENCES[20:40]})


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry with version 1 as dnapair 0.1.0 registered it, and version 2 as this one does."""
    folder = tmp_path_factory.mktemp("registry")
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    mlflow.set_tracking_uri(uri)
    mlflow.create_experiment("tests", artifact_location=str(folder / "artifacts"))
    mlflow.set_experiment("tests")
    with mlflow.start_run():
        (folder / "old").mkdir()
        old = make_bundle(folder / "old")
        as_version_0_1_0_wrote_it(old)
        mlflow.pyfunc.log_model(
            name="model",
            python_model=str(OLD_MODEL),
            artifacts={"bundle": str(old)},
            pip_requirements=["numpy"],
            registered_model_name="dnapair",
        )
        (folder / "new").mkdir()
        new = log_pair_model(
            "dnapair", make_bundle(folder / "new"), "abc", PAIRS.head(2), {"a": "b"}, "first"
        )
        assert new.version == "2"
    return folder


def test_a_model_of_dnapair_0_1_0_loads_and_answers_as_this_ones_does(registry: Path) -> None:
    mlflow.set_tracking_uri(f"sqlite:///{registry / 'mlflow.db'}")
    old, new = (mlflow.pyfunc.load_model(f"models:/dnapair/{version}").predict(PAIRS) for version in (1, 2))
    pd.testing.assert_frame_equal(old, new)
    scorer = load_scorer("models:/dnapair/1")
    assert scorer.reference is None
    assert scorer.score(*(PAIRS[name].tolist() for name in PAIRS)).label.tolist() == new["label"].tolist()


def test_a_known_model_gets_the_tags_and_the_description_of_its_last_run(registry: Path) -> None:
    mlflow.set_tracking_uri(f"sqlite:///{registry / 'mlflow.db'}")
    with mlflow.start_run():
        again = log_pair_model("dnapair", registry / "new" / "bundle", "abc", PAIRS, {"a": "c"}, "second")
    assert again.version == "2"
    version = mlflow.MlflowClient().get_model_version("dnapair", "2")
    assert (version.tags["a"], version.description) == ("c", "second")


def test_a_damaged_file_is_named_by_what_loads_the_model(registry: Path, tmp_path: Path) -> None:
    mlflow.set_tracking_uri(f"sqlite:///{registry / 'mlflow.db'}")
    (kept,) = (path for path in (registry / "artifacts").rglob("manifest.json"))
    weights = kept.parent / "weights.safetensors"
    shutil.copy(weights, tmp_path / "weights")
    weights.write_bytes(weights.read_bytes()[:-1])
    try:
        with pytest.raises(DnapairError, match=r"weights\.safetensors is changed or truncated"):
            load_scorer("models:/dnapair/2")
        with mlflow.start_run():
            bundle = registry / "new" / "bundle"
            anew = log_pair_model("dnapair", bundle, "abc", PAIRS, {}, "whole again").version
            assert log_pair_model("dnapair", bundle, "abc", PAIRS, {}, "whole again").version == anew
        assert isinstance(load_scorer(f"models:/dnapair/{anew}"), PairScorer)
        mlflow.MlflowClient().delete_model_version("dnapair", anew)
    finally:
        shutil.copy(tmp_path / "weights", weights)
    assert isinstance(load_scorer("models:/dnapair/2"), PairScorer)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store") / "mlflow.db"


@pytest.fixture(scope="module")
def store(database: Path) -> Iterator[object]:
    """A store in use, whose making takes seconds."""
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
    seen = []

    def decide(known: str) -> Decision:
        seen.append(known)
        if not known:
            client.set_registered_model_alias(NAME, ALIAS, 1)
        return Decision(not known, f"against {known or 'none'}")

    life = Lifecycle(NAME, ALIAS, "challenger")
    assert life.decide("2", decide) == Decision(False, "against 1")
    assert seen == ["", "1"]
    assert client.get_model_version(NAME, "2").tags["dnapair.champion"] == "no: against 1"
    assert [(step.what, step.after, step.why) for step in life.history()] == [("refuse", "2", "against 1")]
    assert life.champion_now() == "1"


@pytest.fixture
def first(client) -> Iterator[None]:
    """Somebody makes version 1 champion at the moment at which the next one is about to be written."""
    coming = [1]

    def come_first(connection: object, cursor: object, statement: str, *rest: object) -> None:
        if coming and statement.startswith("INSERT INTO registered_model_aliases"):
            client.set_registered_model_alias(NAME, ALIAS, coming.pop())

    event.listen(Engine, "before_cursor_execute", come_first)
    yield
    event.remove(Engine, "before_cursor_execute", come_first)
    assert not coming


def test_of_two_who_make_the_first_champion_at_once_the_second_decides_anew(client, first):
    life = Lifecycle(NAME, ALIAS, "challenger")
    decided = life.decide("2", lambda known: Decision(not known, f"against {known or 'none'}"))
    assert decided == Decision(False, "against 1")
    assert life.champion_now() == "1"
    assert client.get_model_version(NAME, "2").tags["dnapair.champion"] == "no: against 1"


def test_of_two_who_promote_by_hand_at_once_the_later_wins(client, first):
    life = Lifecycle(NAME, ALIAS, "challenger")
    life.promote("2", "by hand")
    assert life.champion_now() == "2"


def test_a_store_that_fails_is_not_taken_for_one_without_a_champion(client, database: Path):
    life = Lifecycle(NAME, ALIAS, "challenger")
    assert life.champion_now() == ""
    client.set_registered_model_alias(NAME, ALIAS, 2)
    assert life.champion_now() == "2"
    with sqlite3.connect(database) as connection:
        connection.execute("ALTER TABLE registered_model_aliases RENAME TO gone")
    with pytest.raises(DnapairError, match="does not answer"):
        life.champion_now()
    connection.execute("ALTER TABLE gone RENAME TO registered_model_aliases")


@settings(max_examples=8, database=None)
@given(
    name=st.from_regex(r"\A\w[\w .-]{0,99}(?<! )\Z"),
    alias=st.one_of(
        st.sampled_from(["latest_", "v2-", "vv2", "version2"]), st.from_regex(r"\A[a-zA-Z][\w-]*\Z")
    ),
)
def test_what_the_settings_let_through_mlflow_takes_and_finds(store, name: str, alias: str) -> None:
    section = {"name": name, "alias": alias, "challenger": "other", "margin": 0, "baseline": "ignore"}
    try:
        register = Register(**section)
    except ValidationError:
        reject()
    store.create_registered_model(register.name)
    try:
        store.create_model_version(register.name, "file:///nowhere")
        store.set_registered_model_alias(register.name, register.alias, 1)
        address = f"models:/{register.name}@{register.alias}"
        found_name, version = get_model_name_and_version(store, address)
        assert (found_name, str(version)) == (register.name, "1")
        assert parse_address(address) == (register.name, register.alias, None)
        found = Lifecycle(register.name, register.alias, register.challenger).versions()
        assert [version.aliases for version in found] == [[register.alias]]
    finally:
        store.delete_registered_model(register.name)


def test_an_alias_is_no_tag_of_another_meaning() -> None:
    constants = [
        value
        for room in (version_tags, lifecycle)
        for key, value in vars(room).items()
        if key.endswith("_TAG")
    ]
    tags = {*constants, *version_tags.TEST_TAGS.values()}
    assert {f"dnapair.{name}" for name in OWN_TAGS} == tags
