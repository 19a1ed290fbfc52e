"""Whatever comes in: an answer or a plain refusal, in time, and never a traceback or a 5xx."""

import warnings
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.security import inputs
from tests.security.bundles import make_bundle

FEW, MANY = 60, 20_000
"""Inputs of each kind in the default tier, and in `make soak`: four kinds, and half as many
requests to each of two servers: 100,000 in all."""


def budget(inputs: int) -> settings:
    # an input takes milliseconds: this is a hang, on any machine
    return settings(
        max_examples=inputs,
        deadline=timedelta(seconds=20),
        suppress_health_check=list(HealthCheck),
        database=None,
    )


CONTENT = st.one_of(inputs.TABLE, inputs.ROWS, inputs.PARQUET)


@budget(FEW)
@given(inputs.FASTA)
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
@given(inputs.FASTA)
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
        python_model=str(Path(dnapair.__file__).with_name("serving.py")),
        artifacts={"bundle": str(make_bundle(folder / "made"))},
        signature=ModelSignature(Schema([ColSpec("string", "seq1"), ColSpec("string", "seq2")])),
        pip_requirements=["mlflow"],
    )
    return init(mlflow.pyfunc.load_model(str(folder / "model")))


def own_server(folder: Path) -> Any:
    """What `dnapair serve` runs, warm."""
    own = pytest.importorskip("dnapair.server")
    from dnapair.params import Serve
    from dnapair.scoring import PairScorer

    server = own.Server(Serve(), 1)
    server.open(own.Served(PairScorer(make_bundle(folder)), dict))
    return server.app


SERVERS: dict[str, Callable[[Path], Any]] = {
    "mlflow models serve": mlflows_server,
    "dnapair serve": own_server,
}


class Asked(NamedTuple):
    server: str
    client: Any

    def ask(self, request: inputs.Request) -> None:
        answer = self.client.request(
            request.method, request.path, headers=request.headers, content=request.body
        )
        assert answer.status_code < 500, (request, answer.text[:500])
        # MLflow's own puts one into the answer to what is no CSV
        assert self.server == "mlflow models serve" or "Traceback" not in answer.text


@pytest.fixture(scope="module", params=SERVERS)
def asked(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Asked:
    with warnings.catch_warnings():
        # MLflow's and its parts' own
        warnings.simplefilter("ignore")
        app = SERVERS[request.param](tmp_path_factory.mktemp("model"))
        from starlette.testclient import TestClient

        return Asked(request.param, TestClient(app, raise_server_exceptions=False, follow_redirects=False))


@pytest.mark.filterwarnings("ignore")  # pandas' and MLflow's, about what the requests hold
@budget(FEW)
@given(request=inputs.REQUEST)
def test_any_request(asked: Asked, request: inputs.Request) -> None:
    asked.ask(request)


@pytest.mark.soak
@pytest.mark.filterwarnings("ignore")
@budget(MANY // 2)
@given(request=inputs.REQUEST)
def test_a_great_many_requests(asked: Asked, request: inputs.Request) -> None:
    asked.ask(request)


@pytest.mark.filterwarnings("ignore")
def test_good_requests_are_answered(asked: Asked) -> None:
    body = b'{"dataframe_records": [{"seq1": "ACGTACGTTT", "seq2": "acguacguaa"}]}'
    answer = asked.client.post("/invocations", headers={"content-type": "application/json"}, content=body)
    assert answer.status_code == 200
    assert 0 < answer.json()["predictions"][0]["probability"] < 1
