import http.client
import json
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import uvicorn

import dnapair
from dnapair.errors import DnapairError
from dnapair.params import Serve, load_params
from dnapair.scoring.scorer import PairScorer
from dnapair.serving import server
from dnapair.serving.server import Served, Server, read_settings
from tests.small_models import make_bundle
from tests.waiting import PATIENCE, wait_for

if TYPE_CHECKING:
    from mlflow.pyfunc import PyFuncModel

PARAMS = Path(__file__).parents[3] / "params.yaml"
JSON = {"Content-Type": "application/json"}
FACTS = {"name": "dnapair", "version": "3", "k": 4}


@pytest.fixture(autouse=True)
def bodies_may_take_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "BODY_SECONDS", PATIENCE)


def draw(count: int, length: int, seed: int = 1) -> list[str]:
    rng = np.random.default_rng(seed)
    return ["".join(rng.choice(list("ACGT"), length)) for _ in range(count)]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("bundle"), watched=False)


@pytest.fixture(scope="module")
def scorer(bundle: Path) -> PairScorer:
    return PairScorer(bundle)


@contextmanager
def listening(app: Server) -> Iterator[int]:
    """Run the server in a thread, as `dnapair serve` runs it in a process; give its port."""
    running = uvicorn.Server(uvicorn.Config(app.app, log_level="warning", ws="none"))
    with socket.create_server(("127.0.0.1", 0)) as free:
        thread = threading.Thread(target=running.run, args=([free],))
        thread.start()
        try:
            yield free.getsockname()[1]
        finally:
            running.should_exit = True
            thread.join(PATIENCE)
            assert not thread.is_alive()


def ask(
    port: int, method: str, path: str, body: object = None, headers: dict[str, str] = JSON
) -> tuple[int, dict, http.client.HTTPMessage]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    content = json.dumps(body).encode() if isinstance(body, dict) else body
    try:
        connection.request(method, path, content, headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read()), answer.headers
    finally:
        connection.close()


@pytest.fixture(scope="module")
def port(scorer: PairScorer) -> Iterator[int]:
    app = Server(Serve(max_pairs=300, max_bases=600, max_megabytes=0.4), threads=2)
    app.open(Served(scorer, FACTS))
    with listening(app) as listens:
        yield listens


def records(seq1: list[str], seq2: list[str]) -> dict:
    return {"dataframe_records": [{"seq1": a, "seq2": b} for a, b in zip(seq1, seq2, strict=True)]}


def turned(params: object) -> dict[str, object]:
    """A request with parameters."""
    return {**records(["ACGTACGT"], ["ACGTACGT"]), "params": params}


def test_until_the_model_is_there_all_that_needs_it_is_503(scorer: PairScorer) -> None:
    app = Server(Serve(), threads=1)
    pair = records(["ACGTACGT"], ["ACGTTTTT"])
    with listening(app) as port:
        for method, path, body in (
            ("GET", "/ping", None),
            ("GET", "/health", None),
            ("GET", "/metadata", None),
            ("POST", "/invocations", pair),
        ):
            status, answer, headers = ask(port, method, path, body)
            assert status == 503
            assert answer["message"] == "The model is still being loaded."
            assert headers["Retry-After"] == "1"
        app.open(Served(scorer, FACTS))
        assert [ask(port, "GET", path)[0] for path in ("/ping", "/health", "/metadata")] == [200] * 3
        assert ask(port, "POST", "/invocations", pair)[0] == 200


def test_metadata_names_the_model_and_the_limits(port: int) -> None:
    status, answer, _ = ask(port, "GET", "/metadata")
    assert status == 200
    limits = {
        "max_pairs": 300,
        "max_bases": 600,
        "max_comparisons": 2.5e9,
        "max_megabytes": 0.4,
        "max_waiting": 64,
    }
    assert answer == FACTS | {"limits": limits, "input": None}


@pytest.fixture(scope="module")
def model(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> "PyFuncModel":
    # here, where the warnings of the import are let through
    import mlflow

    from dnapair.registry import versions

    path = tmp_path_factory.mktemp("model") / "model"
    mlflow.pyfunc.save_model(
        path,
        python_model=str(Path(dnapair.__file__).parent / "scoring" / "pyfunc.py"),
        artifacts={"bundle": str(bundle)},
        signature=versions.signature((), 0.5),
        pip_requirements=[],
    )
    return mlflow.pyfunc.load_model(str(path))


# MLflow itself runs here: what it warns of in its own code is not ours to mend
@pytest.mark.filterwarnings("default")
def test_every_form_of_request_is_answered_as_mlflow_does(port: int, model: "PyFuncModel") -> None:
    from mlflow.pyfunc import scoring_server

    seq1, seq2 = draw(3, 40, 2), draw(3, 50, 3)
    both = [{"seq1": a, "seq2": b, "note": "x"} for a, b in zip(seq1, seq2, strict=True)]
    rows = [[b, a] for a, b in zip(seq1, seq2, strict=True)]
    table = "".join(f"{a},{b}\n" for a, b in [("seq1", "seq2"), *zip(seq1, seq2, strict=True)])
    forms: list[tuple[object, str]] = [
        ({"dataframe_records": both}, "application/json"),
        ({"dataframe_split": {"columns": ["seq2", "seq1"], "data": rows}}, "application/json"),
        ({"instances": both}, "application/json"),
        ({"inputs": {"seq1": seq1, "seq2": seq2}}, "application/json"),
        ({"inputs": both}, "application/json; charset=utf-8"),
        (table, "text/csv"),
        # above all scores, below all, and the model's own
        ({"instances": both, "params": {"threshold": 1.0}}, "application/json"),
        ({"inputs": both, "params": {"threshold": 0.0}}, "application/json"),
        ({"inputs": both, "params": {}}, "application/json"),
    ]
    schema = model.metadata.get_input_schema()
    for form, content_type in forms:
        body = form if isinstance(form, str) else json.dumps(form)
        theirs = scoring_server.invocations(body.encode(), content_type, model, schema)
        status, ours, headers = ask(
            port, "POST", "/invocations", body.encode(), {"Content-Type": content_type}
        )
        assert (status, headers["Content-Type"]) == (200, "application/json")
        assert ours == json.loads(theirs.response)
        given = form.get("params", {}) if isinstance(form, dict) else {}
        if given:
            assert {score["label"] for score in ours["predictions"]} == {int(given["threshold"] == 0)}


@pytest.mark.parametrize(
    ("body", "headers", "status", "words"),
    [
        (b"{", JSON, 400, "not JSON"),
        (b"a", {"Content-Type": "text/plain"}, 415, "send application/json or text/csv"),
        (b"a", {}, 415, "The content type is None"),
        (records(["ACGT"], ["ACG"]), JSON, 400, "no 4-mer"),
        (records(["ACGTN"], ["ACGT"]), JSON, 400, "seq1 of pair 1: letter 'N' at position 5"),
        (turned({"threshold": 1.5}), JSON, 400, "threshold is 1.5, and a probability is from 0 to 1"),
        (turned({"threshold": "0.5"}), JSON, 400, "threshold is '0.5'"),
        (turned({"threshold": True}), JSON, 400, "threshold is True"),
        (turned({"threshold": float("nan")}), JSON, 400, "threshold is nan"),
        (turned({"treshold": 0.5}), JSON, 400, "the one parameter that the model has is threshold"),
        (turned([0.5]), JSON, 400, "params must be an object"),
        (records(["ACGT"] * 301, ["ACGT"] * 301), JSON, 400, "Pair 301 is one too many"),
        (records(["ACGT"], ["A" * 601]), JSON, 400, "seq2 of pair 1 has 601 bases; the most is 600"),
        (b" " * 400_001, JSON, 413, "larger than 0.4 MB (serve.max_megabytes)"),
        (b" " * 17_000_000, JSON, 413, "larger than 0.4 MB (serve.max_megabytes)"),
    ],
)
def test_a_wrong_request_is_refused_in_one_sentence(
    port: int, body: object, headers: dict, status: int, words: str
) -> None:
    try:
        answered, answer, _ = ask(port, "POST", "/invocations", body, headers)
    except ConnectionError:
        # the server need not read a body that is far too large to its end
        assert len(body) > 16_000_000
        return
    assert answered == status
    assert words in answer["message"]
    assert "Traceback" not in str(answer)
    assert answer["error_code"]
    assert ask(port, "GET", "/ping")[0] == 200


def test_a_body_of_chunks_is_held_to_the_limit(port: int) -> None:
    def chunks(count: int) -> Iterator[bytes]:
        yield json.dumps(records(["ACGTACGT"], ["ACGTTTTT"])).encode()
        for _ in range(count):
            yield b" " * 1000

    assert ask(port, "POST", "/invocations", chunks(10))[0] == 200
    status, answer, _ = ask(port, "POST", "/invocations", chunks(500))
    assert status == 413
    assert "serve.max_megabytes" in answer["message"]


def test_a_body_without_end_is_not_read_for_ever(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as client:
        client.sendall(
            b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n"
        )
        chunk = b"%x\r\n%s\r\n" % (100_000, b" " * 100_000)
        with pytest.raises(ConnectionError):
            client.sendall(chunk * 1000)
    assert ask(port, "GET", "/ping")[0] == 200


def half_a_request(port: int) -> socket.socket:
    """Open a request whose body does not end."""
    client = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
    client.sendall(
        b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        b"Content-Length: 1000\r\n\r\n{"
    )
    return client


def test_beyond_those_that_may_wait_a_request_is_503_until_one_is_done(scorer: PairScorer) -> None:
    app = Server(Serve(max_waiting=1), threads=1)
    app.open(Served(scorer, FACTS))
    pair = records(["ACGTACGT"], ["ACGTTTTT"])
    with listening(app) as port:
        first, second = half_a_request(port), half_a_request(port)
        wait_for(lambda: ask(port, "POST", "/invocations", pair)[0] == 503)
        status, answer, headers = ask(port, "POST", "/invocations", pair)
        assert status == 503
        assert "serve.max_waiting" in answer["message"]
        assert headers["Retry-After"] == "1"
        assert ask(port, "GET", "/ping")[0] == 200
        # a client that goes away gives its place back
        first.close()
        wait_for(lambda: ask(port, "POST", "/invocations", pair)[0] == 200)
        second.close()


def test_a_body_that_does_not_arrive_is_408(scorer: PairScorer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "BODY_SECONDS", 0.2)
    app = Server(Serve(), threads=1)
    app.open(Served(scorer, FACTS))
    with listening(app) as port, half_a_request(port) as client:
        assert client.recv(1000).startswith(b"HTTP/1.1 408")


def test_many_clients_get_each_their_own_scores(port: int, scorer: PairScorer) -> None:
    seq1, seq2 = draw(48, 300, 4), draw(48, 400, 5)
    expected = scorer.score(seq1, seq2).probability
    assert len(set(expected.tolist())) > 40

    def score(place: int) -> float:
        _, answer, _ = ask(port, "POST", "/invocations", records([seq1[place]], [seq2[place]]))
        return answer["predictions"][0]["probability"]

    with ThreadPoolExecutor(8) as clients:
        scored = list(clients.map(score, list(range(48)) * 4))
    np.testing.assert_allclose(scored, np.tile(expected, 4), atol=1e-6)


def test_a_request_is_one_batch_and_a_repeat_is_embedded_once(
    port: int, scorer: PairScorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[list[tuple[int, int]]] = []
    run = scorer._embedder._bert.run

    def watched(batches):
        sent.append([ids.shape for ids, _ in batches])
        return run(batches)

    monkeypatch.setattr(scorer._embedder._bert, "run", watched)
    seq1, seq2 = draw(1, 100) * 256, draw(64, 100, 6) * 4
    status, answer, _ = ask(port, "POST", "/invocations", records(seq1, seq2))
    assert status == 200
    # 65 sequences of 97 k-mers on two strands, 41 windows to a batch of 4096 tokens
    assert sent == [[(41, 99), (41, 99), (41, 99), (7, 99)]]
    scores = [pair["probability"] for pair in answer["predictions"]]
    assert scores[:64] == scores[64:128] == scores[192:]


def test_settings_are_the_projects_and_options_go_before_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert read_settings() == load_params(PARAMS).serve == Serve()
    assert read_settings(max_pairs=7, max_bases=None) == Serve(max_pairs=7)
    text = PARAMS.read_text()
    (tmp_path / "params.yaml").write_text(text.replace("max_bases: 100000", "max_bases: 50"))
    assert read_settings(max_pairs=7) == Serve(max_pairs=7, max_bases=50)
    (tmp_path / "params.yaml").write_text(text.replace("max_bases: 100000", "max_bases: 0"))
    with pytest.raises(DnapairError, match=r"serve\.max_bases"):
        read_settings()


def test_a_port_in_use_and_a_model_that_is_not_there_are_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(DnapairError, match=rf"port {taken.getsockname()[1]}: Address already in use"),
    ):
        server.serve("models:/x/1", "127.0.0.1", taken.getsockname()[1], Serve())
    with pytest.raises(DnapairError, match="Nothing can listen on no such host"):
        server.serve("models:/x/1", "no such host", 0, Serve())
