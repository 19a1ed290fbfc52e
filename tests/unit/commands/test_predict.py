import gzip
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import dnapair
from dnapair.commands.predict import predict_file
from dnapair.errors import DnapairError
from dnapair.scoring.scorer import PairScorer
from dnapair.storage.files import lock
from tests.packing import PACKERS
from tests.small_models import save_model

# MLflow itself runs in these tests: what it warns of in its own code is not ours to mend
pytestmark = pytest.mark.filterwarnings("default")

PAIRS = 300
CHUNK = 64
CACHE_MB = 1


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def pairs() -> pd.DataFrame:
    """Pairs with columns of their own, few sequences in many pairs."""
    rng = np.random.default_rng(1)
    sequences = ["".join(rng.choice(list("ACGT"), length)) for length in rng.integers(5, 70, 60)]
    return pd.DataFrame(
        {
            "label": rng.integers(0, 2, PAIRS),
            "seq1": rng.choice(sequences, PAIRS),
            "note": [f'a "{place}",\tb' for place in range(PAIRS)],
            "seq2": rng.choice(sequences, PAIRS),
            "score": np.where(rng.random(PAIRS) < 0.1, np.nan, rng.random(PAIRS)),
        }
    )


@pytest.fixture(scope="module")
def expected(model: str, pairs: pd.DataFrame) -> np.ndarray:
    scorer = PairScorer(Path(model).parent / "bundle")
    return scorer.score(pairs["seq1"].tolist(), pairs["seq2"].tolist()).probability


@pytest.fixture
def table(pairs: pd.DataFrame, tmp_path: Path) -> Path:
    path = tmp_path / "pairs.csv"
    pairs.to_csv(path, index=False)
    return path


def read(path: Path) -> pd.DataFrame:
    if path.suffix == ".parquet":
        return pd.read_parquet(path)
    return pd.read_csv(path, sep="\t" if ".tsv" in path.name else ",", dtype={"probability": np.float32})


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def spoil(table: Path, pair: int) -> str:
    """Give a pair of the table a sequence that can't be scored; return what was there."""
    content = table.read_text()
    lines = content.split("\n")
    sequence = lines[pair].split(",")[1]
    lines[pair] = lines[pair].replace(sequence, "ACGTNACGT", 1)
    table.write_text("\n".join(lines))
    return content


@pytest.mark.parametrize("given", ["pairs.csv", "pairs.tsv.gz", "pairs.parquet"])
@pytest.mark.parametrize("wanted", ["out.csv", "out.tsv", "out.csv.gz", "out.tsv.gz", "out.parquet"])
def test_every_form_of_table_becomes_every_other(
    model: str, pairs: pd.DataFrame, expected: np.ndarray, tmp_path: Path, given: str, wanted: str
):
    if given.endswith(".parquet"):
        pairs.to_parquet(tmp_path / given)
    else:
        pairs.to_csv(tmp_path / given, index=False, sep="\t" if ".tsv" in given else ",")
    output = tmp_path / "new" / wanted
    predict_file(tmp_path / given, output, model, CHUNK, CACHE_MB)
    scored = read(output)
    assert scored.columns.tolist() == ["input_label", *pairs.columns[1:], "probability", "label"]
    np.testing.assert_array_equal(scored["probability"], expected)
    np.testing.assert_array_equal(scored["label"], expected >= 0.5)
    assert 0 < scored["label"].sum() < PAIRS
    for name in ("seq1", "seq2", "note"):
        assert scored[name].tolist() == pairs[name].tolist()
    assert names(output.parent) == [wanted]
    assert output.read_bytes().startswith(b"\x1f\x8b") == wanted.endswith(".gz")


@pytest.mark.parametrize("packing", ["", *PACKERS])
def test_a_pipe_is_scored_like_the_file(
    model: str, table: Path, expected: np.ndarray, tmp_path: Path, packing: str
):
    content = table.read_bytes()
    reading, writing = os.pipe()
    with os.fdopen(reading), os.fdopen(writing, "wb") as file:
        given = PACKERS[packing](content) if packing else content
        writer = threading.Thread(target=lambda: (file.write(given), file.close()))
        writer.start()
        predict_file(Path(f"/dev/fd/{reading}"), tmp_path / "out.csv", model, CHUNK, CACHE_MB)
        writer.join()
    np.testing.assert_array_equal(read(tmp_path / "out.csv")["probability"], expected)
    assert names(tmp_path) == ["out.csv", "pairs.csv"]


def test_a_mended_pipe_keeps_what_was_scored_before(
    model: str, table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    good = spoil(table, 200)
    for content in (None, good):
        if content:
            table.write_text(content)
        with table.open("rb") as file:
            pipe = Path(f"/dev/fd/{file.fileno()}")
            if content is None:
                with pytest.raises(
                    DnapairError, match=r"^/dev/fd/\d+: seq1 of pair 200: letter 'N'.*is kept in"
                ):
                    predict_file(pipe, tmp_path / "out.csv", model, CHUNK, CACHE_MB)
                assert names(tmp_path) == [".out.csv.parts", "pairs.csv"]
            else:
                predict_file(pipe, tmp_path / "out.csv", model, CHUNK, CACHE_MB)
    assert f"{3 * CHUNK} of them before" in capsys.readouterr().out
    assert names(tmp_path) == ["out.csv", "pairs.csv"]


@pytest.mark.slow
def test_the_commands_read_what_a_shell_gives_them(model: str, table: Path, tmp_path: Path):
    script = f"""set -eu
    gzip pairs.csv
    dnapair() {{ "{sys.executable}" -m dnapair "$@" --model "{model}"; }}
    dnapair predict <(zcat pairs.csv.gz) --output given.csv
    zcat pairs.csv.gz | dnapair predict - --output piped.csv
    dnapair predict /dev/stdin --output redirected.csv < pairs.csv.gz
    dnapair predict pairs.csv.gz --output file.csv
    cat pairs.csv.gz | dnapair explain - --pair 2 --output explained.png --window 20
    dnapair drift <(zcat pairs.csv.gz) --output drift.html || [ $? = 1 ]"""
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    scored = {(tmp_path / f"{name}.csv").read_bytes() for name in ("given", "piped", "redirected", "file")}
    assert len(scored) == 1
    made = ["drift.html", "drift.json", "explained.csv", "explained.png"]
    assert names(tmp_path) == [*made, "file.csv", "given.csv", "pairs.csv.gz", "piped.csv", "redirected.csv"]


def test_types_and_nulls_stay_from_parquet_to_parquet(model: str, tmp_path: Path):
    given = pa.table(
        {
            "seq1": ["ACGTACGT", "ACGTT"],
            "seq2": pa.array(["TTGCA", "GGGGG"]).dictionary_encode(),
            "day": pa.array([None, 20_000], pa.date32()),
            "tags": [["a"], []],
        }
    )
    pq.write_table(given, tmp_path / "pairs.parquet")
    predict_file(tmp_path / "pairs.parquet", tmp_path / "out.parquet", model, CHUNK, CACHE_MB)
    scored = pq.read_table(tmp_path / "out.parquet")
    assert scored.select(given.column_names).equals(given)
    assert scored.schema.field("probability").type == pa.float32()
    assert scored.schema.field("label").type == pa.int64()


def test_no_two_columns_get_one_name(model: str, tmp_path: Path):
    (tmp_path / "pairs.csv").write_text("seq1,seq2,label,input_label\nACGTA,ACGTT,7,8\n")
    predict_file(tmp_path / "pairs.csv", tmp_path / "out.csv", model, CHUNK, CACHE_MB)
    header, row = (line.split(",") for line in (tmp_path / "out.csv").read_text().splitlines())
    assert header == ["seq1", "seq2", "input_input_label", "input_label", "probability", "label"]
    assert row[2:4] == ["7", "8"]


@pytest.mark.parametrize("wanted", ["out.csv", "out.csv.gz", "out.parquet"])
def test_bytes_are_the_same_whatever_is_scored_or_kept_at_a_time(
    model: str, table: Path, tmp_path: Path, wanted: str
):
    written = set()
    for chunk, cache_mb in ((4096, 500), (CHUNK, 1), (7, 0)):
        predict_file(table, tmp_path / wanted, model, chunk, cache_mb)
        written.add((tmp_path / wanted).read_bytes())
    assert len(written) == 1


@pytest.mark.parametrize("wanted", ["out.csv", "out.parquet"])
def test_a_mended_table_keeps_what_was_scored_before(
    model: str, table: Path, tmp_path: Path, wanted: str, capsys: pytest.CaptureFixture[str]
):
    predict_file(table, tmp_path / "whole" / wanted, model, CHUNK, CACHE_MB)
    good = spoil(table, 200)
    output = tmp_path / wanted
    with pytest.raises(DnapairError, match=r"pairs\.csv: seq1 of pair 200: letter 'N'.*is kept in .*mend"):
        predict_file(table, output, model, CHUNK, CACHE_MB)
    assert names(tmp_path) == [f".{wanted}.parts", "pairs.csv", "whole"]
    assert len(list((tmp_path / f".{wanted}.parts").glob("*.part"))) == 3
    table.write_text(good)
    capsys.readouterr()
    predict_file(table, output, model, CHUNK, CACHE_MB)
    assert "300 pairs scored by" in (said := capsys.readouterr().out)
    assert f"{3 * CHUNK} of them before" in said
    assert output.read_bytes() == (tmp_path / "whole" / wanted).read_bytes()
    assert names(tmp_path) == [wanted, "pairs.csv", "whole"]


def stopped(table: Path, output: Path, model: str) -> Path:
    """Score the chunks before the pair 200; return the folder of their parts."""
    good = spoil(table, 200)
    with pytest.raises(DnapairError):
        predict_file(table, output, model, CHUNK, CACHE_MB)
    table.write_text(good)
    return output.with_name(f".{output.name}.parts")


@pytest.mark.parametrize("damage", [lambda content: content[:-5], lambda content: content[:-1] + b"\7"])
def test_a_damaged_part_is_made_again(
    model: str,
    table: Path,
    expected: np.ndarray,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    damage,
):
    output = tmp_path / "out.csv"
    part = min(stopped(table, output, model).glob("*.part"))
    part.write_bytes(damage(part.read_bytes()))
    predict_file(table, output, model, CHUNK, CACHE_MB)
    said = capsys.readouterr().out
    assert f"{part} is damaged, it is made again" in said
    assert f"{2 * CHUNK} of them before" in said
    np.testing.assert_array_equal(read(output)["probability"], expected)


def test_another_model_keeps_nothing(
    model: str,
    table: Path,
    expected: np.ndarray,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    tmp_path_factory: pytest.TempPathFactory,
):
    other = save_model(tmp_path_factory.mktemp("other"), seed=2)
    stopped(table, tmp_path / "out.csv", other)
    predict_file(table, tmp_path / "out.csv", model, CHUNK, CACHE_MB)
    assert "before" not in capsys.readouterr().out
    np.testing.assert_array_equal(read(tmp_path / "out.csv")["probability"], expected)


def test_another_threshold_keeps_nothing_and_turns_labels(
    model: str, table: Path, expected: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    middle = np.unique(expected).size // 2
    # one that no pair lies on
    threshold = float(np.unique(expected)[middle - 1 : middle + 1].mean(dtype=np.float64))
    stopped(table, tmp_path / "out.csv", model)
    predict_file(table, tmp_path / "out.csv", model, CHUNK, CACHE_MB, threshold=threshold)
    assert "before" not in capsys.readouterr().out
    scored = read(tmp_path / "out.csv")
    np.testing.assert_array_equal(scored["probability"], expected)
    np.testing.assert_array_equal(scored["label"], expected >= threshold)
    assert scored["label"].nunique() == 2


def test_other_code_keeps_nothing(
    model: str,
    table: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
):
    stopped(table, tmp_path / "out.csv", model)
    package = shutil.copytree(Path(dnapair.__file__).parent, tmp_path / "dnapair")
    changed = package / "embedding" / "pooling.py"
    changed.write_text(changed.read_text() + "# changed\n")
    monkeypatch.setattr(dnapair, "__file__", str(package / "__init__.py"))
    predict_file(table, tmp_path / "out.csv", model, CHUNK, CACHE_MB)
    assert "before" not in capsys.readouterr().out


def test_two_at_once_is_refused_and_harms_nothing(model: str, table: Path, tmp_path: Path):
    output = tmp_path / "out.csv"
    folder = stopped(table, output, model)
    before = names(folder)
    with (
        lock(folder / "lock", "at work"),
        pytest.raises(DnapairError, match=r"^Process \d+ is writing .*out\.csv\. Wait for it"),
    ):
        predict_file(table, output, model, CHUNK, CACHE_MB)
    assert names(folder) == before
    assert not output.exists()


def test_a_bad_pair_leaves_an_older_output_and_nothing_else(model: str, table: Path, tmp_path: Path):
    spoil(table, 3)
    (tmp_path / "out.csv").write_text("old")
    with pytest.raises(DnapairError) as raised:
        predict_file(table, tmp_path / "out.csv", model, CHUNK, CACHE_MB)
    assert "seq1 of pair 3: letter 'N' at position 5" in str(raised.value)
    assert "is kept" not in str(raised.value)
    assert (tmp_path / "out.csv").read_text() == "old"
    assert names(tmp_path) == ["out.csv", "pairs.csv"]


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ("out.xlsx", r"must end in \.csv, \.tsv, \.csv\.gz, \.tsv\.gz, \.parquet"),
        ("pairs.csv", "is the table itself"),
    ],
)
def test_a_wrong_output_is_refused_before_anything_is_done(table: Path, output: str, words: str):
    before = table.read_text()
    with pytest.raises(DnapairError, match=words):
        predict_file(table, table.with_name(output), "models:/nobody@champion", CHUNK, CACHE_MB)
    assert table.read_text() == before
    assert names(table.parent) == ["pairs.csv"]


def test_a_null_sequence_in_parquet_is_named(model: str, tmp_path: Path):
    pq.write_table(pa.table({"seq1": ["ACGTA", None], "seq2": ["ACGTA"] * 2}), tmp_path / "pairs.parquet")
    with pytest.raises(DnapairError, match=r"seq1 of pair 2 \(0 letters\)"):
        predict_file(tmp_path / "pairs.parquet", tmp_path / "out.parquet", model, CHUNK, CACHE_MB)
    assert names(tmp_path) == ["pairs.parquet"]


def test_a_gzipped_output_holds_no_time_and_no_name(model: str, table: Path, tmp_path: Path):
    predict_file(table, tmp_path / "out.csv.gz", model, CHUNK, CACHE_MB)
    content = (tmp_path / "out.csv.gz").read_bytes()
    assert content[3:8] == bytes(5)
    predict_file(table, tmp_path / "out.csv", model, CHUNK, CACHE_MB)
    assert gzip.decompress(content) == (tmp_path / "out.csv").read_bytes()
