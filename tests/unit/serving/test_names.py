"""Requests with the columns of training: the pyfunc, MLflow's own server and ours, asked the same."""

import json
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException
from starlette.testclient import TestClient

from dnapair.data.pair_columns import PairColumns
from dnapair.params import Serve
from dnapair.scoring.scorer import PairScorer
from dnapair.serving.server import Served, Server
from tests.small_models import SEQUENCES, save_model

# MLflow itself runs in these tests: what it warns of in its own code is not ours to mend
pytestmark = pytest.mark.filterwarnings("default")

TRAINED = (
    PairColumns("miRNA", "gene"),
    PairColumns("id1", "id2", by_id=True),
    PairColumns("column1", "column2", named=False),
)
SEQ1, SEQ2 = SEQUENCES[:3], SEQUENCES[3:6]
SERVERS = ("dnapair", "mlflow")


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_model(tmp_path_factory.mktemp("model"), columns=TRAINED)


@pytest.fixture(scope="module")
def model(address: str) -> Any:
    return mlflow.pyfunc.load_model(address)


@pytest.fixture(scope="module")
def scorer(address: str) -> PairScorer:
    return PairScorer(Path(address).parent / "bundle")


@pytest.fixture(scope="module")
def expected(scorer: PairScorer) -> list[float]:
    return scorer.score(SEQ1, SEQ2).probability.tolist()


@pytest.fixture(scope="module")
def clients(scorer: PairScorer, model: Any) -> dict[str, TestClient]:
    from mlflow.pyfunc.scoring_server import init

    own = Server(Serve(), threads=1)
    own.open(Served(scorer, {}))
    return {"dnapair": TestClient(own.app), "mlflow": TestClient(init(model))}


def table(*names: str) -> pd.DataFrame:
    """The pairs in columns of these names; in a third one, what nobody asks for."""
    sides = dict(zip(names, [SEQ1, SEQ2] * (len(names) // 2), strict=True))
    return pd.DataFrame({"note": ["a", "b", "c"], **dict(reversed(sides.items()))})


def bodies(pairs: pd.DataFrame) -> dict[str, tuple[str, str]]:
    """The same pairs in every form that is taken: content type and body."""
    records, rows = pairs.to_dict("records"), pairs.to_dict("split", index=False)
    forms = {
        "dataframe_records": records,
        "dataframe_split": rows,
        "instances": records,
        "inputs": pairs.to_dict("list"),
    }
    sent = {form: ("application/json", json.dumps({form: content})) for form, content in forms.items()}
    return sent | {"csv": ("text/csv", pairs.to_csv(index=False))}


FORMS = tuple(bodies(table("seq1", "seq2")))


def ask(client: TestClient, form: str, pairs: pd.DataFrame) -> tuple[int, Any]:
    kind, body = bodies(pairs)[form]
    answer = client.post("/invocations", content=body, headers={"Content-Type": kind})
    return answer.status_code, answer.json()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("server", SERVERS)
def test_names_of_training_and_usual_names_are_taken_in_every_form(
    clients: dict[str, TestClient], expected: list[float], server: str, form: str
):
    for names in (("miRNA", "gene"), ("seq1", "seq2")):
        status, answer = ask(clients[server], form, table(*names))
        assert status == 200, answer
        scored = [pair["probability"] for pair in answer["predictions"]]
        np.testing.assert_allclose(scored, expected, atol=1e-6)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("server", SERVERS)
def test_two_pairs_of_names_and_none_are_refused(clients: dict[str, TestClient], server: str, form: str):
    status, answer = ask(clients[server], form, table("miRNA", "gene", "seq1", "seq2"))
    assert status == 400
    assert "miRNA and gene, and also seq1 and seq2: send one of these pairs" in answer["message"]
    for names in (("miRNA", "seq2"), ("id1", "id2"), ("column1", "column2")):
        status, answer = ask(clients[server], form, table(*names))
        assert status == 400
        assert "neither miRNA and gene, as the columns were called in training, nor seq1" in answer["message"]


def test_a_pair_without_the_names_of_the_others_is_named(clients: dict[str, TestClient]):
    records = [{"miRNA": SEQ1[0], "gene": SEQ2[0]}, {"seq1": SEQ1[1], "gene": SEQ2[1]}]
    answers = {
        name: client.post("/invocations", json={"dataframe_records": records})
        for name, client in clients.items()
    }
    assert [answer.status_code for answer in answers.values()] == [400, 400]
    assert answers["dnapair"].json()["message"] == "dataframe_records: pair 2 has no miRNA."
    assert "miRNA of pair 2 is" in answers["mlflow"].json()["message"]
    bad = {"dataframe_records": [{"miRNA": "ACGTN", "gene": SEQ2[0]}]}
    for client in clients.values():
        assert "miRNA of pair 1: letter 'N'" in client.post("/invocations", json=bad).json()["message"]
    assert clients["dnapair"].post("/invocations", json={"instances": []}).json() == {"predictions": []}


def test_the_frame_that_was_trained_with_is_scored(model: Any, expected: list[float]):
    whole = table("miRNA", "gene").assign(label=1)
    for pairs in (whole, whole[["gene", "miRNA"]], table("seq1", "seq2")):
        assert model.predict(pairs)["probability"].tolist() == expected
    for names in (["gene", "label"], ["label"]):
        with pytest.raises(MlflowException, match="neither miRNA and gene"):
            model.predict(whole[names])


def test_columns_of_nulls_are_none(model: Any, expected: list[float]):
    # Spark makes them of columns that are given by their place: score("seq1", "seq2")
    schema = model.metadata.get_input_schema().input_names()
    assert schema == ["seq1", "seq2", "miRNA", "gene"]
    pairs = pd.DataFrame({"seq1": SEQ1, "seq2": SEQ2}, columns=schema)
    assert model.predict(pairs)["probability"].tolist() == expected
    with pytest.raises(MlflowException, match="gene of pair 2 is "):
        model.predict(pd.DataFrame({"miRNA": SEQ1, "gene": [SEQ2[0], None, SEQ2[2]]}))
    with pytest.raises(MlflowException, match="of pair 1 is "):
        model.predict(pd.DataFrame({"miRNA": [None, None], "gene": [None, None]}))


def test_a_model_with_usual_names_asks_for_them_as_ever(tmp_path: Path):
    trained = (PairColumns("seq1", "seq2"), *TRAINED[1:])
    model = mlflow.pyfunc.load_model(save_model(tmp_path, columns=trained))
    assert model.metadata.get_input_schema().required_input_names() == ["seq1", "seq2"]
    with pytest.raises(MlflowException, match=r"missing inputs \['seq1', 'seq2'\]"):
        model.predict(table("miRNA", "gene"))


def test_names_are_in_the_description_for_machines(clients: dict[str, TestClient]):
    schemas = clients["dnapair"].get("/openapi.json").json()["components"]["schemas"]
    for form in ("Pair", "Columns"):
        assert schemas[form]["anyOf"] == [{"required": ["seq1", "seq2"]}, {"required": ["miRNA", "gene"]}]
        assert schemas[form]["properties"]["gene"] == schemas[form]["properties"]["seq2"]
        assert "required" not in schemas[form]
