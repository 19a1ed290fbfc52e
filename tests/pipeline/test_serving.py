"""The registered model: served, loaded, and asked by the command line."""

import json
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest

from tests.pipeline import backend
from tests.pipeline.conftest import Project
from tests.pipeline.test_pipeline import changed
from tests.waiting import PATIENCE, reserved_port, wait_for

# MLflow itself runs in these tests: what it warns of in its own code is not ours to mend
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]

MODEL = "models:/dnapair@champion"


def raw_pairs(project: Project, split: str) -> pd.DataFrame:
    rows = pd.read_parquet(project.root / f"artifacts/normalized/{split}.parquet")
    sequences = pd.read_parquet(project.root / "artifacts/dataset/sequences.parquet")["sequence"]
    return pd.DataFrame(
        {"seq1": sequences[rows["seq1"]].to_numpy(), "seq2": sequences[rows["seq2"]].to_numpy()}
    )


def predictions(project: Project) -> np.ndarray:
    framework = json.loads((project.root / "reports/registration.json").read_text())["framework"]
    return pd.read_csv(project.root / f"reports/{framework}/predictions.csv")["probability"].to_numpy()


@pytest.fixture(scope="module")
def server(finished: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    log = tmp_path_factory.mktemp("mlflow") / "log"
    command = ["mlflow", "models", "serve", "-m", MODEL, "--env-manager", "local", "-p"]
    with reserved_port() as port:
        url = f"http://127.0.0.1:{port}"
        ready = partial(backend.ask, f"{url}/ping")
        with backend.started([*command, str(port)], ready, log, cwd=finished.root, env=finished.env):
            yield url


@pytest.fixture(scope="module")
def own_server(finished: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    log = tmp_path_factory.mktemp("serve") / "log"
    command = ["dnapair", "serve", "--port", "0", "--max-pairs", "100"]
    with (
        log.open("w") as written,
        subprocess.Popen(command, cwd=finished.root, env=finished.env, stdout=written) as process,
    ):
        try:
            wait_for(lambda: "ready: name dnapair" in log.read_text(), process)
            yield log.read_text().split()[2]
        finally:
            process.terminate()
            process.wait(PATIENCE)


def ask(url: str, content: object) -> tuple[int, dict]:
    body = json.dumps(content).encode()
    request = urllib.request.Request(f"{url}/invocations", body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_registered_model_gives_the_pipelines_own_predictions(
    finished: Project, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(finished.root)
    mlflow.set_tracking_uri(finished.tracking_uri)
    model = mlflow.pyfunc.load_model(MODEL)
    pairs = raw_pairs(finished, "test")
    table = model.predict(pairs)
    np.testing.assert_allclose(table["probability"], predictions(finished), atol=1e-4)
    assert set(table["label"]) <= {0, 1}
    lower = pairs.map(lambda sequence: sequence.lower().replace("t", "u"))
    np.testing.assert_array_equal(model.predict(lower)["probability"], table["probability"])


def test_served_answer_is_the_command_lines(finished: Project, server: str, tmp_path: Path):
    pairs = raw_pairs(finished, "test").head(5)
    pairs.to_csv(tmp_path / "pairs.csv", index=False)
    finished.run("dnapair", "predict", str(tmp_path / "pairs.csv"), "--output", str(tmp_path / "scored.csv"))
    scored = pd.read_csv(tmp_path / "scored.csv")
    status, answer = ask(server, {"dataframe_records": pairs.to_dict("records")})
    assert status == 200
    served = pd.DataFrame(answer["predictions"])
    np.testing.assert_allclose(served["probability"], scored["probability"], atol=1e-6)
    assert served["label"].tolist() == scored["label"].tolist()


def test_own_server_answers_many_clients_as_the_mlflow_server_does(
    finished: Project, server: str, own_server: str
):
    pairs = raw_pairs(finished, "test").head(100)
    whole = {"dataframe_records": pairs.to_dict("records")}
    status, answer = ask(own_server, whole)
    assert (status, answer) == ask(server, whole)
    assert status == 200
    singles = [{"dataframe_records": [record]} for record in whole["dataframe_records"]]
    for url in (own_server, server):
        with ThreadPoolExecutor(8) as clients:
            answers = list(clients.map(partial(ask, url), singles))
        scores = [scored["predictions"][0]["probability"] for _, scored in answers]
        expected = [pair["probability"] for pair in answer["predictions"]]
        np.testing.assert_allclose(scores, expected, atol=1e-6)


def test_own_server_names_what_it_serves_and_its_limits(finished: Project, own_server: str):
    with urllib.request.urlopen(f"{own_server}/metadata", timeout=PATIENCE) as response:
        answer = json.load(response)
    registration = json.loads((finished.root / "reports/registration.json").read_text())
    champion = mlflow.MlflowClient(finished.tracking_uri, finished.tracking_uri).get_model_version_by_alias(
        "dnapair", "champion"
    )
    assert answer["version"] == str(champion.version)
    assert (answer["name"], answer["alias"], answer["k"]) == ("dnapair", "champion", 4)
    assert {name: answer[name] for name in ("framework", "encoder", "dataset_sha256")} == {
        name: registration[name] for name in ("framework", "encoder", "dataset_sha256")
    }
    assert answer["limits"]["max_pairs"] == 100
    status, refused = ask(own_server, {"dataframe_records": [{"seq1": "ACGT", "seq2": "ACGT"}] * 101})
    assert status == 400
    assert "100 (serve.max_pairs)" in refused["message"]


def test_own_server_ends_with_the_reason_where_there_is_no_model(finished: Project):
    said = finished.run("dnapair", "serve", "--port", "0", "--model", "models:/nobody@champion", fails=True)
    assert "models:/nobody@champion can't be had" in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("record", "words"),
    [
        ({"seq1": "ACGT" * 5, "seq2": None}, "seq2 of pair 1"),
        ({"seq1": "ACGT" * 5, "seq2": ""}, "seq2 of pair 1"),
        ({"seq1": "ACGT" * 5, "seq2": "ACG"}, "4-mer"),
        ({"seq1": "ACGT" * 5 + "X", "seq2": "ACGT" * 5}, "'X' at position 21"),
        ({"seq1": "ACGT" * 5}, "seq2"),
        ({"seq1": 7, "seq2": "ACGT" * 5}, "seq1"),
    ],
)
def test_bad_request_is_400_with_the_reason(server: str, record: dict, words: str):
    status, answer = ask(server, {"dataframe_records": [record]})
    assert status == 400
    assert words in str(answer)
    assert "Traceback" not in str(answer)


def test_predict_streams_every_form_of_table(finished: Project, tmp_path: Path):
    pairs = raw_pairs(finished, "test")
    pairs["note"] = [f"a, {place}" for place in range(len(pairs))]
    pairs.to_csv(tmp_path / "a.csv", index=False)
    pairs.to_csv(tmp_path / "b.tsv.gz", index=False, sep="\t")
    pairs.to_parquet(tmp_path / "c.parquet")
    for name in ("a.csv", "b.tsv.gz", "c.parquet"):
        output = tmp_path / f"{name}.scored.csv"
        finished.run("dnapair", "predict", str(tmp_path / name), "--output", str(output), "--chunk", "7")
        scored = pd.read_csv(output)
        np.testing.assert_allclose(scored["probability"], predictions(finished), atol=1e-4)
        assert scored["note"].tolist() == pairs["note"].tolist()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "empty"),
        ("seq1,seq2\n", "no pairs"),
        ("seq1,other\nACGTACGT,ACGTACGT\n", "seq2"),
        ("seq1,seq2\nACGTACGT,ACGTACGT\nACGTACGT,ACG\n", "pair 2"),
        ("seq1,seq2\nACGTACGT,ACGTANNT\n", "'N'"),
    ],
)
def test_predict_refuses_bad_tables_and_writes_nothing(
    finished: Project, tmp_path: Path, text: str, words: str
):
    (tmp_path / "pairs.csv").write_text(text)
    message = finished.run(
        "dnapair", "predict", str(tmp_path / "pairs.csv"), "--output", str(tmp_path / "out.csv"), fails=True
    )
    assert words in message
    assert "Traceback" not in message
    assert [path.name for path in tmp_path.iterdir()] == ["pairs.csv"]


def test_predict_names_a_model_that_is_not_there(finished: Project, tmp_path: Path):
    (tmp_path / "pairs.csv").write_text("seq1,seq2\nACGTACGT,ACGTACGT\n")
    message = finished.run(
        "dnapair",
        "predict",
        str(tmp_path / "pairs.csv"),
        "--output",
        str(tmp_path / "out.csv"),
        "--model",
        "models:/nobody@champion",
        fails=True,
    )
    assert "models:/nobody@champion" in message
    assert "Traceback" not in message


def test_explain_gives_a_picture_and_a_table_of_the_score_that_predict_gives(
    finished: Project, tmp_path: Path
):
    pairs = raw_pairs(finished, "test")
    pairs.to_csv(tmp_path / "pairs.csv", index=False)
    output = tmp_path / "out" / "explained.png"
    said = finished.run(
        "dnapair", "explain", str(tmp_path / "pairs.csv"), "--pair", "3", "--output", str(output)
    )
    assert f"probability {predictions(finished)[2]:.3f}" in said
    assert output.read_bytes().startswith(b"\x89PNG")
    bases = pd.read_csv(output.with_suffix(".csv"))
    for name in ("seq1", "seq2"):
        assert "".join(bases[bases["sequence"] == name]["base"]) == pairs[name][2]
    written = finished.run(
        *("dnapair", "explain", "--seq1", pairs["seq1"][2], "--seq2", pairs["seq2"][2]),
        *("--output", str(tmp_path / "again.png")),
    )
    assert f"probability {predictions(finished)[2]:.3f}" in written
    assert (tmp_path / "again.csv").read_text() == output.with_suffix(".csv").read_text()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--pair", "2"], "has 1 pair(s)"),
        (["--model", "models:/nobody@champion"], "models:/nobody@champion"),
        ([], "seq2 of pair 1: letter 'N' at position 5"),
    ],
)
def test_explain_refuses_what_can_not_be_explained_and_writes_nothing(
    finished: Project, tmp_path: Path, options: list[str], words: str
):
    (tmp_path / "pairs.csv").write_text("seq1,seq2\nACGTACGT,ACGTNACGT\n")
    output = str(tmp_path / "out.png")
    message = finished.run(
        "dnapair", "explain", str(tmp_path / "pairs.csv"), "--output", output, *options, fails=True
    )
    assert words in message
    assert "Traceback" not in message
    assert [path.name for path in tmp_path.iterdir()] == ["pairs.csv"]


def test_champion_moves_only_to_a_better_model_and_back_by_hand_and_stays_there(finished: Project):
    client = mlflow.MlflowClient(finished.tracking_uri, finished.tracking_uri)

    def holder() -> str:
        return str(client.get_model_version_by_alias("dnapair", "champion").version)

    champion = holder()
    with changed(finished, {"train.learning_rate": 1e-7, "train.epochs": 1, "tune.trials": 0}):
        output = finished.train_anew()
        assert "does not become champion" in output
        assert holder() == champion
        newest = str(max(int(found.version) for found in client.search_model_versions("name = 'dnapair'")))
        assert newest != champion
        assert "The gate refused" in finished.run("dnapair", "models", "promote", newest, fails=True)
        finished.run("dnapair", "models", "promote", newest, "--force", "--reason", "to see it serve")
        assert holder() == newest
        finished.run("dnapair", "models", "rollback", "--reason", "it guesses")
        assert holder() == champion
        # the same model, registered anew, stays where people put it
        output = finished.run("dnapair", "register")
        assert f"models:/dnapair/{newest} does not become champion: it was champion and was taken" in output
    lines = client.get_registered_model("dnapair").description
    for words in ("refuse", "to see it serve", "it guesses", "by the gate: there is no champion yet"):
        assert words in lines
    listed = finished.run("dnapair", "models")
    assert "taken back" in listed
    assert max(map(len, listed.splitlines())) <= 80


def test_drift_passes_the_test_pairs_and_fails_others_with_a_page(finished: Project, tmp_path: Path):
    pairs = raw_pairs(finished, "test")
    pairs.to_csv(tmp_path / "pairs.csv", index=False)
    output = finished.run("dnapair", "drift", str(tmp_path / "pairs.csv"))
    assert "are in the range" in output
    other = pd.DataFrame({"seq1": pairs["seq1"].str[:40], "seq2": pairs["seq2"].str[:30]})
    other.loc[3, "seq2"] = "ACGTNACGT"
    other.to_parquet(tmp_path / "other.parquet")
    page = tmp_path / "out" / "drift.html"
    output = finished.run(
        "dnapair", "drift", str(tmp_path / "other.parquet"), "--output", str(page), fails=True
    )
    assert "Traceback" not in output
    assert "training's range of length (120 bases)" in output
    assert "first: seq2 of pair 4" in output
    assert "training&#39;s range of length" in page.read_text()
    written = json.loads(page.with_suffix(".json").read_text())
    assert written["refused_sequences"] == 1
    assert written["input"]["in_range"] is False
    assert written["input"]["statistics"]["length"]["outside_share"] == 1.0
    message = finished.run("dnapair", "drift", "pairs.csv", "--output", "drift.pdf", fails=True)
    assert "must end in .html" in message
