"""Files that claim or unpack to far more than they are: refused in little memory, with a word why."""

import json
import resource
import shutil
import struct
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from dnapair.data.columns import has_names
from dnapair.data.dataset import Reading, read_dataset
from dnapair.data.opening import LONGEST_LINE, LONGEST_RECORD
from dnapair.data.raw_files import find_files
from dnapair.data.sequences import fasta_records, read_fasta
from dnapair.data.tables import open_table
from dnapair.embedding.checkpoint import load_encoder
from dnapair.embedding.scaling import Scaler
from dnapair.errors import DnapairError
from dnapair.networks.spec import NetworkSpec
from dnapair.networks.weights import load_weights
from dnapair.params import load_params
from dnapair.scoring.scorer import PairScorer
from dnapair.storage.matrix import MatrixFile, write_header
from tests.packing import PACKERS
from tests.pipeline.conftest import ROOT
from tests.small_models import SPEC, make_bundle

MEGABYTE = 2**20
HEAD = b"seq1,seq2,label\n"


def pack(path: Path, head: bytes, unit: bytes, total: int) -> Path:
    """Write a bomb: the same packed member again and again, of what the name says."""
    packer = PACKERS[path.suffix]
    path.write_bytes(packer(head) + packer(unit) * (total // len(unit) + 1))
    return path


def pack_zip(path: Path, head: bytes, unit: bytes, total: int) -> Path:
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open(path.stem, "w") as file,
    ):
        file.write(head)
        for _ in range(total // len(unit) + 1):
            file.write(unit)
    return path


@pytest.fixture
def little_memory():
    """Fail a test that takes more than a few times what the longest line or record may have."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2 * LONGEST_RECORD / 1024


@pytest.mark.usefixtures("little_memory")
@pytest.mark.parametrize(
    ("head", "unit"), [(b">a\n", b"ACGT" * MEGABYTE), (b">", b">" * 4 * MEGABYTE)], ids=["sequence", "header"]
)
def test_a_line_of_fasta_without_end_is_refused(tmp_path: Path, head: bytes, unit: bytes) -> None:
    path = pack(tmp_path / "bomb.fa.gz", head, unit, LONGEST_RECORD)
    with pytest.raises(DnapairError, match=r"bomb\.fa\.gz, line [12]: it is longer than 268,435,456 bytes"):
        list(fasta_records(path))


@pytest.mark.usefixtures("little_memory")
def test_a_record_without_end_is_refused(tmp_path: Path) -> None:
    path = pack(
        tmp_path / "bomb.fa.gz", b">a\nACGT\n>b\n", (b"ACGT" * 16384 + b"\n") * 64, 2 * LONGEST_RECORD
    )
    with pytest.raises(DnapairError, match=r"line \d+: the record is longer than 268,435,456 bases"):
        list(fasta_records(path))


@pytest.mark.usefixtures("little_memory")
@pytest.mark.parametrize(
    ("head", "unit", "said"),
    [
        (b"", b"ACGT" * MEGABYTE, r"line 1: it is longer than"),
        (b"", b"a," * MEGABYTE, r"line 1: it is longer than"),
        (HEAD + b'"', (b"A" * 99 + b"\n") * 40_000, r"larger than field limit.*quote"),
    ],
    ids=["first line", "columns", "quote"],
)
def test_a_table_line_or_field_without_end_is_refused(
    tmp_path: Path, head: bytes, unit: bytes, said: str
) -> None:
    pack(tmp_path / "bomb.csv.gz", head, unit, 3 * LONGEST_LINE)
    with pytest.raises(DnapairError, match=said):
        read_dataset(find_files(tmp_path), Reading())


@pytest.mark.usefixtures("little_memory")
@pytest.mark.parametrize("suffix", PACKERS)
def test_a_line_without_end_is_refused_however_it_is_packed(tmp_path: Path, suffix: str) -> None:
    write = pack_zip if suffix == ".zip" else pack
    write(tmp_path / f"bomb.csv{suffix}", HEAD, b"ACGT" * MEGABYTE, 3 * LONGEST_LINE)
    with pytest.raises(DnapairError, match="line 2: it is longer than 33,554,432 bytes"):
        read_dataset(find_files(tmp_path), Reading())


def test_too_many_columns_are_refused(tmp_path: Path) -> None:
    (tmp_path / "wide.csv").write_text(",".join(f"c{number}" for number in range(10_002)) + "\n")
    with pytest.raises(DnapairError, match="more than 10,000 columns"):
        read_dataset(find_files(tmp_path), Reading())


@pytest.mark.slow
@pytest.mark.parametrize("suffix", PACKERS)
def test_a_file_that_unpacks_to_hundreds_of_times_its_size_is_refused(tmp_path: Path, suffix: str) -> None:
    unit = (b"ACGT" * 2500 + b"," + b"ACGA" * 2500 + b",1\n") * 500
    write = pack_zip if suffix == ".zip" else pack
    path = write(tmp_path / f"bomb.csv{suffix}", HEAD, unit, 2**30 + 2**27)
    with pytest.raises(DnapairError, match="more than 200 times its size"):
        sum(batch.num_rows for batch in open_table(path, has_names).batches(["label"]))


def test_repeats_that_are_worth_packing_are_read_below_that(tmp_path: Path) -> None:
    pack(tmp_path / "plain.fa.gz", b">a\n", b"A" * 60 * MEGABYTE, 0)
    assert [len(text) for _, _, text in fasta_records(tmp_path / "plain.fa.gz")] == [60 * MEGABYTE]


@pytest.mark.usefixtures("little_memory")
def test_one_long_value_in_every_row_of_a_parquet_is_never_written_out(tmp_path: Path) -> None:
    rows, long = 20_000, "ACGT" * MEGABYTE
    column = pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), pa.array([long]))
    table = pa.table({"seq1": column, "seq2": ["ACGT"] * rows, "label": [1] * rows})
    path = tmp_path / "bomb.parquet"
    pq.write_table(table, path, compression="zstd", store_schema=False)
    assert path.stat().st_size < 50_000
    first = next(iter(open_table(path, has_names).batches()))
    assert 0 < first.num_rows < 100
    assert first["seq1"][0].as_py() == long


def test_a_longer_value_than_any_line_is_refused_and_so_are_nested_ones(tmp_path: Path) -> None:
    path = tmp_path / "bomb.parquet"
    pq.write_table(pa.table({"seq1": ["A" * (LONGEST_LINE + 1)], "seq2": ["A"], "label": [1]}), path)
    with pytest.raises(DnapairError, match="value of 33,554,433 bytes"):
        list(open_table(path, has_names).batches())
    pq.write_table(pa.table({"seq1": [["A"] * 9], "seq2": ["A"], "label": [1]}), path)
    with pytest.raises(DnapairError, match=r"holds list<.*can't be read as text"):
        list(open_table(path, has_names).batches())


def test_a_parquet_whose_text_is_no_utf8_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "pairs.parquet"
    table = pa.table({"seq1": ["ACGTACGT"], "seq2": ["TTTTACGT"], "label": [1]})
    pq.write_table(table, path, compression="none", use_dictionary=False, write_statistics=False)
    path.write_bytes(path.read_bytes().replace(b"TTTTACGT", b"TTT\x80ACGT"))
    with pytest.raises(DnapairError, match=r"column 'seq2' holds .*can't be read as text"):
        read_dataset(find_files(tmp_path), Reading())


@pytest.mark.parametrize("shape", [(10**12, 128), (10**12, 0), (-1, 128), (2**62, 2**62), (1, 2**63)])
def test_an_npy_that_claims_a_trillion_rows_is_refused(tmp_path: Path, shape: tuple[int, int]) -> None:
    path = tmp_path / "embeddings.npy"
    with path.open("wb") as file:
        write_header(file, shape, np.float16)
        file.write(bytes(256))
    with pytest.raises(DnapairError, match=r"embeddings\.npy"):
        MatrixFile(path)


@pytest.mark.parametrize("length", [10**12, 2**63, 2**64 - 1, 10**9])
@pytest.mark.parametrize("which", ["header", "tensor"])
def test_safetensors_that_claim_huge_sizes_are_refused(tmp_path: Path, length: int, which: str) -> None:
    path = tmp_path / "weights.safetensors"
    header = json.dumps(
        {"minimum": {"dtype": "F32", "shape": [length], "data_offsets": [0, 4 * length]}}
    ).encode()
    path.write_bytes(struct.pack("<Q", length if which == "header" else len(header)) + header + bytes(64))
    with pytest.raises(DnapairError, match="weights"):
        Scaler.load(path)
    with pytest.raises(DnapairError, match="weights"):
        load_weights(path, SPEC)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("model"))


@pytest.mark.usefixtures("little_memory")
@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("hidden_size", 10**9),
        ("hidden_size", 8192),
        ("num_hidden_layers", 10**9),
        ("intermediate_size", 10**9),
        ("max_position_embeddings", 10**9),
        ("type_vocab_size", 2**31 - 1),
        ("vocab_size", 10**9),
        ("hidden_size", 10**30),
        ("hidden_size", -8),
        ("hidden_size", "8"),
        ("hidden_size", True),
        ("hidden_size", 7.5),
        ("num_attention_heads", 0),
        ("num_attention_heads", 3),
        ("layer_norm_eps", "tiny"),
        ("hidden_act", {"a": 1}),
        ("model_type", ["bert"]),
        ("dnapair_untrained", ["<b>"]),
    ],
)
def test_an_encoder_of_an_absurd_shape_is_refused(
    tmp_path: Path, bundle: Path, key: str, value: object
) -> None:
    folder = shutil.copytree(bundle / "encoder", tmp_path / "encoder")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {key: value}))
    with pytest.raises(DnapairError, match="encoder"):
        load_encoder(str(folder), None, allow_pytorch_bin=False)


def test_a_huge_vocabulary_or_config_is_refused(tmp_path: Path, bundle: Path) -> None:
    for name, said in (("vocab.txt", "lists no k-mers"), ("config.json", "describes no BERT")):
        folder = shutil.copytree(bundle / "encoder", tmp_path / name)
        with (folder / name).open("a") as file:
            file.write("\n" * 2 * MEGABYTE)
        with pytest.raises(DnapairError, match=said):
            load_encoder(str(folder), None, allow_pytorch_bin=False)


@pytest.mark.parametrize(
    "content", ["[" * 100_000, '{"a":' * 100_000, "[]", "1", "null", "NaN", '"x"', "\ud800x"]
)
@pytest.mark.parametrize("name", ["settings.json", "network.json", "encoder/config.json"])
def test_json_of_another_kind_is_refused(tmp_path: Path, bundle: Path, name: str, content: str) -> None:
    folder = shutil.copytree(bundle, tmp_path / "bundle")
    (folder / name).write_text(content, encoding="utf-8", errors="surrogatepass")
    with pytest.raises(DnapairError):
        PairScorer(folder)


@pytest.mark.usefixtures("little_memory")
@pytest.mark.parametrize(
    "change",
    [
        {"widths": [10**9]},
        {"depth": 10**9},
        {"widths": [65536] * 2000},
        {"dimensions": 10**9},
        {"widths": "12"},
        {"widths": []},
        {"depth": -1},
        {"dropout": 2},
        {"dropout": "0"},
        {"activation": "eval"},
        {"interactions": 10**9},
        {"interactions": -1},
        {"embeddings": 0},
        {"embeddings": False},
        {"more": 1},
    ],
)
def test_a_network_of_an_absurd_shape_is_refused(change: dict) -> None:
    with pytest.raises(DnapairError, match="no network that dnapair builds"):
        NetworkSpec.from_json(SPEC.to_json() | change)


def write_params(path: Path, change: dict | str) -> Path:
    content = (ROOT / "params.yaml").read_text()
    if isinstance(change, dict):
        whole = yaml.safe_load(content)
        for section, settings in change.items():
            whole[section] |= settings
        content = yaml.safe_dump(whole)
    else:
        content = change
    path.write_text(content)
    return path


LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n"
    for before, name in zip("abcdefghi", "bcdefghij", strict=True)
)


@pytest.mark.parametrize(
    "content",
    [
        "data: !!python/object/apply:pathlib.Path.touch [was_run]\n",
        "data: !!python/object:pathlib.Path {}\n",
        "data: !!python/name:os.system\n",
        "data: !!python/tuple [1]\n",
        LAUGHS + "data: *j\n",
        LAUGHS + "data: {path: *j}\nencoder: *j\n",
        "a: " + "[" * 50_000,
        "{" * 50_000,
        "a: 2001-99-99\n",
        "a: 0b\n",
        "!!int ",
        "a: !!float ''\n",
        "a: 0x" + "F" * 20_000,
        "data: {path: 0x" + "F" * 20_000 + "}\n",
        "a: " + "9" * 20_000,
        "? [a, b]\n: 1\n",
        "1: 2\n",
        "&a [*a]",
        "data: &a {path: *a}",
        "\0",
        "- 1\n",
        "x" * (2 * MEGABYTE),
    ],
)
def test_yaml_is_plain_values_within_bounds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DnapairError, match=r"params\.yaml") as refused:
        load_params(write_params(tmp_path / "params.yaml", content))
    assert len(str(refused.value)) < 20_000
    assert {path.name for path in tmp_path.iterdir()} == {"params.yaml"}


@pytest.mark.parametrize("number", [".inf", "-.inf", ".nan", "1e999"])
def test_settings_are_finite_numbers(tmp_path: Path, number: str) -> None:
    with pytest.raises(DnapairError, match=r"train\.weight_decay"):
        load_params(
            write_params(tmp_path / "params.yaml", {"train": {"weight_decay": float(number.lstrip("-."))}})
        )


def test_a_fasta_of_another_kind_of_line_end_is_still_read(tmp_path: Path) -> None:
    (tmp_path / "a.fa").write_bytes(b">a x\r\nACGT\r\nAC\r\n>b\r\nGG\r\n")
    assert read_fasta([tmp_path / "a.fa"]).sequences[0:2] == ["ACGTAC", "GG"]
