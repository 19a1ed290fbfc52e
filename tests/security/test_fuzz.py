"""Whatever comes in: an answer or a plain refusal, and never a traceback or a 5xx."""

import warnings
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

from dnapair.data.dataset import Reading
from tests.security import inputs
from tests.small_models import make_bundle

FEW, MANY = 60, 20_000
"""Inputs of each kind in the default tier, and in `make soak`: four kinds, and half as many
requests to each of two servers: 100,000 in all."""


ANY = settings(max_examples=2000, phases=[Phase.generate], database=None)
"""One example will do; the smallest takes a minute to find."""


def budget(inputs: int) -> settings:
    return settings(max_examples=inputs, database=None)


FASTA = st.one_of(inputs.FASTA, inputs.GOOD_FASTA)
CONTENT = st.one_of(inputs.TABLE, inputs.ROWS, inputs.PARQUET, inputs.GOOD_TABLE)


def test_some_inputs_are_taken_and_some_refused() -> None:
    for wanted in (True, False):
        for kind, take in (
            (inputs.GOOD_FASTA, inputs.try_fasta),
            (inputs.GOOD_TABLE, lambda content: inputs.try_table(content, Reading())),
            (inputs.LETTERS, inputs.try_sequence),
            (inputs.YAML, inputs.try_settings),
        ):
            find(kind, lambda example: take(example) is wanted, settings=ANY)  # noqa: B023


@budget(FEW)
@given(FASTA)
def test_any_fasta(content: bytes) -> None:
    inputs.try_fasta(content)


@budget(FEW)
@given(CONTENT, inputs.READING, st.booleans())
def test_any_table(content: bytes, reading: Any, fasta: bool) -> None:
    inputs.try_table(content, reading, fasta)


@budget(FEW)
@given(inputs.LETTERS)
def test_any_sequence(text: str) -> None:
    inputs.try_sequence(text)


@budget(FEW)
@given(inputs.YAML)
def test_any_settings(content: bytes) -> None:
    inputs.try_settings(content)


@pytest.mark.soak
@budget(MANY)
@given(FASTA)
def test_a_great_many_fastas(content: bytes) -> None:
    inputs.try_fasta(content)


@pytest.mark.soak
@budget(MANY)
@given(CONTENT, inputs.READING, st.booleans())
def test_a_great_many_tables(content: bytes, reading: Any, fasta: bool) -> None:
    inputs.try_table(content, reading, fasta)


@pytest.mark.soak
@budget(MANY)
@given(inputs.LETTERS)
def test_a_great_many_sequences(text: str) -> None:
    inputs.try_sequence(text)


@pytest.mark.soak
@budget(MANY)
@given(inputs.YAML)
def test_a_great_many_settings(content: bytes) -> None:
    inputs.try_settings(content)


def mlflows_server(folder: Path) -> Any:
    """MLflow's own server, with the model that `dnapair register` makes."""
    import mlflow.pyfunc
    from mlflow.models import ModelSignature
    from mlflow.pyfunc.scoring_server import init
    from mlflow.types import ColSpec, Schema

    import dnapair

    mlflow.pyfunc.save_model(
        str(folder / "model"),
        python_model=str(Path(dnapair.__file__).parent / "scoring" / "pyfunc.py"),
        artifacts={"bundle": str(make_bundle(folder / "made"))},
        signature=ModelSignature(Schema([ColSpec("string", "seq1"), ColSpec("string", "seq2")])),
        pip_requirements=["mlflow"],
    )
    return init(mlflow.pyfunc.load_model(str(folder / "model")))


def own_server(folder: Path) -> Any:
    """What `dnapair serve` runs, warm."""
    own = pytest.importorskip("dnapair.serving.server")
    from dnapair.params import Serve
    from dnapair.scoring.scorer import PairScorer

    server = own.Server(Serve(), 1)
    server.open(own.Served(PairScorer(make_bundle(folder)), {}))
    return server.app


class Asked(NamedTuple):
    client: Any
    own: bool

    def ask(self, request: inputs.Request) -> None:
        answer = self.client.request(
            request.method, request.path, headers=request.headers, content=request.body
        )
        assert answer.status_code < 500, (request, answer.text[:500])
        # MLflow's own puts one into the answer to what is no CSV
        assert not (self.own and "Traceback" in answer.text)


def ask_for(app: Any, *, own: bool) -> Asked:
    from starlette.testclient import TestClient

    return Asked(TestClient(app, raise_server_exceptions=False, follow_redirects=False), own)


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Asked:
    return ask_for(own_server(tmp_path_factory.mktemp("own")), own=True)


@pytest.fixture(scope="module")
def mlflows(tmp_path_factory: pytest.TempPathFactory) -> Asked:
    with warnings.catch_warnings():
        # MLflow's and its parts' own
        warnings.simplefilter("ignore")
        return ask_for(mlflows_server(tmp_path_factory.mktemp("mlflow")), own=False)


# MLflow's server answers 500 to a request without a content type, and to JSON nested thousands deep, before
# it asks the model: it gets what reaches the model
REACHES_THE_MODEL = st.one_of(inputs.WELL_FORMED, inputs.TABLES)


@budget(FEW)
@given(request=inputs.REQUEST)
def test_any_request_to_dnapair_serve(own: Asked, request: inputs.Request) -> None:
    own.ask(request)


@pytest.mark.filterwarnings("ignore")  # pandas' and MLflow's, about what the requests hold
@budget(FEW)
@given(request=REACHES_THE_MODEL)
def test_any_content_to_mlflows_server(mlflows: Asked, request: inputs.Request) -> None:
    mlflows.ask(request)


@pytest.mark.soak
@budget(MANY // 2)
@given(request=inputs.REQUEST)
def test_a_great_many_requests_to_dnapair_serve(own: Asked, request: inputs.Request) -> None:
    own.ask(request)


@pytest.mark.soak
@pytest.mark.filterwarnings("ignore")
@budget(MANY // 2)
@given(request=REACHES_THE_MODEL)
def test_a_great_many_contents_to_mlflows_server(mlflows: Asked, request: inputs.Request) -> None:
    mlflows.ask(request)


def good(client: Any) -> None:
    body = b'{"dataframe_records": [{"seq1": "ACGTACGTTT", "seq2": "acguacguaa"}]}'
    answer = client.post("/invocations", headers={"content-type": "application/json"}, content=body)
    assert answer.status_code == 200
    assert 0 < answer.json()["predictions"][0]["probability"] < 1


def test_a_good_request_to_dnapair_serve_is_answered(own: Asked) -> None:
    good(own.client)


@pytest.mark.filterwarnings("ignore")
def test_a_good_request_to_mlflows_server_is_answered(mlflows: Asked) -> None:
    good(mlflows.client)


@pytest.mark.parametrize(
    "body", [b"[" * 200_000, b'{"a":' * 200_000, b'{"inputs":' + b"9" * 100_000 + b"}", b"\x00" * 1000]
)
def test_json_without_end_is_refused_by_dnapair_serve(own: Asked, body: bytes) -> None:
    own.ask(inputs.Request("POST", "/invocations", {"content-type": "application/json"}, body))
