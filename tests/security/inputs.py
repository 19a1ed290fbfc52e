"""Inputs that nobody means well with, and what must hold for each: an answer or a plain refusal."""

import io
import json
import tempfile
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from hypothesis import strategies as st

from dnapair.data.dataset import Reading, read_dataset
from dnapair.data.raw_files import find_files
from dnapair.data.sequences import find_ambiguous, normalize, read_fasta, reverse_complement
from dnapair.embedding.kmers import KmerVocabulary
from dnapair.errors import DnapairError
from dnapair.params import load_params
from tests.packing import PACKERS
from tests.pipeline.conftest import ROOT

VOCABULARY = KmerVocabulary.standard(3)
SEQUENCE = b"ACGTTGCATCCGATTACAGG"
BREAKS = [b"\n", b"\r\n", b"\r", b"\n\n", b"\x0b", b"\xc2\x85", b"\xe2\x80\xa8"]
ODD = [
    b"\x00",
    b"\xff",
    b"\xef\xbb\xbf",
    b"\x1f\x8b",
    b"PAR1",
    b"\xed\xa0\x80",
    "é".encode(),
    b"\x1b[2J",
    b"=1+1",
    b"-",
    b".",
]


def joined(tokens: list[bytes], most: int = 25) -> st.SearchStrategy[bytes]:
    part = st.one_of(st.sampled_from(tokens), st.sampled_from(tokens), st.binary(max_size=4))
    return st.lists(part, max_size=most).map(b"".join)


def packed(content: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    """Plain, packed in each way, and packed with the end cut off or a byte changed."""

    def damage(given: tuple[bytes, str, int, int]) -> bytes:
        content, way, place, byte = given
        archive = bytearray(PACKERS[way](content))
        archive[place % len(archive)] = byte
        return bytes(archive[: len(archive) - place % 7])

    ways = st.sampled_from(list(PACKERS))
    whole = st.tuples(content, ways).map(lambda given: PACKERS[given[1]](given[0]))
    damaged = st.tuples(content, ways, st.integers(0, 500), st.integers(0, 255)).map(damage)
    return st.one_of(content, content, content, whole, damaged)


FASTA = packed(
    joined(
        [
            b">",
            b">a",
            b">b x",
            b" ",
            b"\t",
            b";",
            b"#",
            b"ACGT",
            b"acgun",
            b"ACG CGT GTA",
            b" 1 ACGT ACGT",
            b"-*",
            *BREAKS,
            *ODD,
        ]
    )
)
# nearly all of the above is refused: these reach what comes after
GOOD_FASTA = packed(
    st.lists(
        st.tuples(
            st.text("abXY01|=.", min_size=1, max_size=8), st.text("ACGTacgtuN", min_size=1, max_size=9)
        ),
        min_size=1,
        max_size=6,
        unique_by=lambda record: record[0],
    ).map(lambda records: "".join(f">{name} x\n{letters}\n" for name, letters in records).encode())
)
GOOD_TABLE = packed(
    st.lists(
        st.tuples(*[st.text("ACGTacgtu", min_size=6, max_size=20)] * 2, st.sampled_from("01")), max_size=6
    ).map(
        lambda rows: "\n".join(
            ["seq1,seq2,label", "ACGTTGCA,TTGACCAT,1", "ACGTTGCC,TTGACCAG,0", *map(",".join, rows), ""]
        ).encode()
    )
)
HEADERS = [
    b"",
    b"seq1,seq2,label\n",
    b"seq1\tseq2\tlabel\tsplit\n",
    b"id1;id2;label\n",
    b"id1,id2,label,g\n",
    b"label,seq1\n",
]
CELLS = [
    b"a",
    b"b",
    b"1",
    b"0",
    b"TRUE",
    b"no",
    b"train",
    b"seq1",
    b"label",
    SEQUENCE,
    SEQUENCE[::-1],
    b"acg cgt gta",
    b"NNNN",
    b"",
]
TABLE = packed(
    st.tuples(
        st.sampled_from(HEADERS),
        joined(
            [b",", b",", b"\t", b"\t", b";", b'"', b'""', b"'", b" ", b"\n", b"\n", *CELLS, *BREAKS, *ODD], 40
        ),
    ).map(b"".join)
)
ROWS = packed(
    st.tuples(
        st.sampled_from(HEADERS[1:]),
        st.lists(st.lists(st.sampled_from(CELLS), min_size=2, max_size=5), max_size=6),
        st.sampled_from([b",", b"\t", b";"]),
        st.sampled_from(BREAKS[:3]),
    ).map(lambda drawn: drawn[0] + drawn[3].join(drawn[2].join(row) for row in drawn[1]))
)


def parquet() -> bytes:
    file = io.BytesIO()
    texts = [SEQUENCE.decode(), SEQUENCE[::-1].decode(), "ACGTACGA"]
    pq.write_table(
        pa.table({"seq1": texts, "seq2": texts[::-1], "label": [1, 0, None], "score": [0.5, 1e9, None]}), file
    )
    return file.getvalue()


def flipped(content: bytes) -> st.SearchStrategy[bytes]:
    """Some bytes of a file are others, and its end may be missing."""

    def change(drawn: tuple[list[tuple[int, int]], int]) -> bytes:
        flips, missing = drawn
        changed = bytearray(content)
        for place, byte in flips:
            changed[place] = byte
        return bytes(changed[: len(changed) - missing])

    flips = st.lists(st.tuples(st.integers(0, len(content) - 1), st.integers(0, 255)), min_size=1, max_size=8)
    return st.tuples(flips, st.sampled_from([0, 0, 0, 0, 1, 8, 50])).map(change)


PARQUET = flipped(parquet())
READING = st.builds(
    Reading,
    header=st.sampled_from(["auto", True, False]),
    positive_label=st.sampled_from([None, None, 1, True, "a", ""]),
    ambiguous=st.sampled_from(["error", "drop", "keep"]),
    contradictory=st.sampled_from(["error", "drop"]),
    genome=st.none(),
    width=st.sampled_from([None, None, 5]),
)
LETTERS = st.one_of(
    st.text("ACGTUNacgtn ", max_size=60), st.text(max_size=30), st.text("RYKM-*\t\n\x00é\u0130ß", max_size=20)
)
SETTINGS = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=12),
    st.sampled_from(
        ["auto", "../x", "/etc/passwd", "{{1}}", "${HOME}", "[", "*a", "!!python/name:os.system"]
    ),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
KEYS = [(section, key) for section, content in SETTINGS.items() for key in content]


def with_changes(changes: list[tuple[tuple[str, str], object]]) -> bytes:
    content = {section: dict(settings) for section, settings in SETTINGS.items()}
    for (section, key), value in changes:
        content[section][key] = value
    return yaml.safe_dump(content, allow_unicode=True).encode()


YAML = st.one_of(
    st.lists(st.tuples(st.sampled_from(KEYS), VALUES), min_size=1, max_size=3).map(with_changes),
    joined(
        [
            b"data",
            b"train",
            b": ",
            b":\n",
            b"- ",
            b"[",
            b"]",
            b"{",
            b"}",
            b"&a ",
            b"*a",
            b"!!int ",
            b"!!python/name:os.system",
            b"|\n",
            b">\n",
            b"? ",
            b"<<: ",
            b"'",
            b'"',
            b"0x",
            b"0b",
            b"1_0",
            b"1:60",
            b"2001-13-01",
            b".inf",
            b"---\n",
            b"%YAML 1.2\n",
            *BREAKS,
            *ODD,
        ]
    ),
)


def try_fasta(content: bytes) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "given.fa")
        path.write_bytes(content)
        try:
            read = read_fasta([path])
        except DnapairError:
            return False
        # what is taken is whole: no record without a name or a sequence
        assert all(read.sequences[row] and read.ids[row] for row in range(len(read.ids)))
        return True


def try_table(content: bytes, reading: Reading, fasta: bool = False) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "pairs.csv").write_bytes(content)
        if fasta:
            Path(folder, "records.fa").write_text(">a\nACGTACGTAC\n>b x\nacgtTTTT\n")
        try:
            dataset = read_dataset(find_files(Path(folder)), reading)
        except DnapairError:
            return False
        for batch in dataset.pair_batches(dataset.pairs["label"].to_numpy().astype(str).astype(object)):
            assert batch.num_rows
        assert len(dataset.pairs)
        assert len(list(dataset.sequences)) == len(list(dataset.ids))
        return True


def try_sequence(text: str) -> bool:
    try:
        sequence = normalize(text)
    except DnapairError:
        return False
    find_ambiguous(sequence)
    assert len(reverse_complement(sequence)) == len(sequence)
    if len(sequence) >= VOCABULARY.k:
        ids = VOCABULARY.encode(sequence)
        assert ids.size == len(sequence) - VOCABULARY.k + 1
        assert ids.min() >= 0
        assert ids.max() < VOCABULARY.size
    return True


def try_settings(content: bytes) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "params.yaml")
        path.write_bytes(content)
        try:
            load_params(path)
        except DnapairError as error:
            said = str(error)
        else:
            return True
        # however large a value is: its message is short
        assert len(said) < 20_000
        return False


class Request(NamedTuple):
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


DNA = st.one_of(
    st.text("ACGTUNacgtn ", max_size=40),
    st.just(SEQUENCE.decode()),
    st.just(SEQUENCE.decode()),
    st.text(max_size=10),
)
ANY = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(), DNA),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["seq1", "seq2", "columns", "data", "index", ""]), inner, max_size=3
        )
    ),
    max_leaves=8,
)
RECORDS = st.lists(st.fixed_dictionaries({"seq1": DNA, "seq2": DNA}), max_size=4)
SPLIT = st.fixed_dictionaries(
    {
        "columns": st.sampled_from([["seq1", "seq2"], ["seq2", "seq1"], ["seq1"], ["seq1", "seq1"], []]),
        "data": st.lists(st.lists(st.one_of(DNA, ANY), max_size=3), max_size=3),
    }
)
COLUMNS = st.fixed_dictionaries({"seq1": st.lists(DNA, max_size=3), "seq2": st.lists(DNA, max_size=3)})
BODY = st.one_of(
    st.builds(lambda records: {"dataframe_records": records}, st.one_of(RECORDS, RECORDS, ANY)),
    st.builds(lambda split: {"dataframe_split": split}, st.one_of(SPLIT, SPLIT, ANY)),
    st.builds(lambda columns: {"inputs": columns}, st.one_of(COLUMNS, COLUMNS, RECORDS, ANY)),
    st.builds(lambda columns: {"instances": columns}, st.one_of(RECORDS, COLUMNS, ANY)),
    st.builds(lambda records, params: {"dataframe_records": records, "params": params}, RECORDS, ANY),
    st.builds(lambda records, more: {"dataframe_records": records, "inputs": more}, RECORDS, ANY),
    ANY,
).map(lambda value: json.dumps(value).encode())
CSV = joined([b"seq1", b"seq2", b",", b"\n", b'"', SEQUENCE, b"\r", *ODD])
TYPES = [
    "application/json",
    "application/json; charset=utf-8",
    "application/json; charset=x",
    "text/csv",
    "text/plain",
    "multipart/form-data",
    "application/json; a=b; c",
    ";",
    "",
]
WELL_FORMED = st.builds(
    Request, st.just("POST"), st.just("/invocations"), st.just({"content-type": "application/json"}), BODY
)
ANY_REQUEST = st.builds(
    Request,
    st.sampled_from(["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH"]),
    st.one_of(
        st.sampled_from(
            [
                "/invocations",
                "/ping",
                "/health",
                "/version",
                "/",
                "/metadata",
                "/ready",
                "/..%2f..%2fetc/passwd",
                "/invocations/",
                "/invocations?a=%00",
            ]
        ),
        st.text("/abc%.?=&0", max_size=20).map(lambda rest: f"/{rest}"),
    ),
    st.dictionaries(
        st.sampled_from(["content-type", "accept", "content-encoding", "x-request-id"]),
        st.sampled_from([*TYPES, "gzip", "*/*"]),
        max_size=3,
    ),
    st.one_of(
        BODY,
        CSV,
        st.binary(max_size=40),
        flipped(b'{"dataframe_records": [{"seq1": "ACGTACGT", "seq2": "ACGTACGA"}]}'),
    ),
)
TABLES = st.builds(
    Request, st.just("POST"), st.just("/invocations"), st.just({"content-type": "text/csv"}), CSV
)
REQUEST = st.one_of(WELL_FORMED, WELL_FORMED, ANY_REQUEST, TABLES)
