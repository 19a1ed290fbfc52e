import csv
import gzip
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dnapair.embedding.kmers import base_codes
from dnapair.errors import DnapairError
from dnapair.pretraining.corpus import Corpus, PairGenomes, held_out, pair_genomes, read_corpus

ROOT = Path(__file__).parents[3]
PATTERN = r"genome=(\S+)|ref\|([^|]+)\|"


def write(path: Path, *records: tuple[str, str]) -> Path:
    path.write_text("".join(f">{header}\n{sequence}\n" for header, sequence in records))
    return path


def texts(corpus: Corpus) -> list[tuple[str, str]]:
    letters = np.array(list("ATCGN"))
    return [
        (corpus.names[genome], "".join(letters[corpus.bases[start:stop]]))
        for genome, (start, stop) in zip(corpus.genomes, pairwise(corpus.starts), strict=True)
    ]


def test_records_are_grouped_by_the_genome_in_their_header(tmp_path: Path):
    file = write(
        tmp_path / "genes.fa",
        ("g1 genome=b start=3", "acgtn"),
        ("gi|3|ref|a.1|:5-9", "GGGGG"),
        ("g3 genome=b", "UUUUU"),
    )
    corpus = read_corpus([file], PATTERN, None, 5, 0, named=True)
    assert texts(corpus) == [("a.1", "GGGGG"), ("b", "ACGTN"), ("b", "TTTTT")]
    assert corpus.left_out == 0


def test_short_records_unseen_genomes_and_records_of_none_are_left_out_and_counted(tmp_path: Path):
    file = tmp_path / "genes.fa.gz"
    with gzip.open(file, "wt") as out:
        out.write(">1 genome=a\nACGTACGT\n>2 genome=a\nACG\n>3 genome=b\nACGTACGT\n>4 no name\nACGTACGT\n")
        out.write(">5 genome=c\nCCCCCCCC\n")
    corpus = read_corpus([file], PATTERN, PairGenomes(frozenset("ab"), frozenset("b")), 5, 0, named=True)
    assert texts(corpus) == [("a", "ACGTACGT"), ("c", "CCCCCCCC")]
    assert corpus.left_out == 3


def test_small_genomes_are_left_out_and_counted(tmp_path: Path):
    records = {"1 genome=a": "ACGTACGT", "2 genome=b": "CCCCC", "3 genome=b": "GGGGG", "4 genome=b": "TT"}
    file = write(tmp_path / "genes.fa", *records.items())
    corpus = read_corpus([file], PATTERN, None, 5, 10, named=True)
    assert texts(corpus) == [("b", "CCCCC"), ("b", "GGGGG")]
    assert corpus.left_out == 2
    with pytest.raises(DnapairError, match=r"pretrain.min_genome, 11 bases, together; b has the most, 10\."):
        read_corpus([file], PATTERN, None, 5, 11, named=True)


def test_genomes_of_val_and_test_pairs_are_unseen(tmp_path: Path):
    columns = {"split": ["train", "val", "test"], "g1": ["a", "b", "c"], "g2": ["e", None, "d"]}
    pq.write_table(pa.table(columns), tmp_path / "pairs.parquet")
    genomes = pair_genomes(tmp_path / "pairs.parquet", ["g1", "g2"])
    assert genomes == PairGenomes(frozenset("abcde"), frozenset("bcd"))
    assert pair_genomes(tmp_path / "pairs.parquet", ["g1"]).unseen == frozenset("bc")
    with pytest.raises(DnapairError, match="the pairs have no column 'genus'; they have split, g1, g2"):
        pair_genomes(tmp_path / "pairs.parquet", ["genus"])


def test_records_without_genome_are_genomes_of_their_own_where_none_is_needed(tmp_path: Path):
    file = write(tmp_path / "genes.fa", ("x", "ACGTA"), ("y", "ACGTC"))
    assert read_corpus([file], PATTERN, None, 5, 0, named=False).names == [
        "genes.fa, record 1",
        "genes.fa, record 2",
    ]


def test_without_drops_whole_genomes(tmp_path: Path):
    records = [
        ("1 genome=a", "ACGTA"),
        ("2 genome=b", "CCCCC"),
        ("3 genome=c", "GGGGG"),
    ]
    corpus = read_corpus([write(tmp_path / "genes.fa", *records)], PATTERN, None, 5, 0, named=True)
    smaller = corpus.without({"b"})
    assert texts(smaller) == [("a", "ACGTA"), ("c", "GGGGG")]
    assert smaller.left_out == 1
    assert texts(corpus.without({})) == texts(corpus)


@pytest.mark.parametrize(
    ("records", "genomes", "named", "message"),
    [
        ([("x", "ACGTACGT")], None, True, r"record 1 \(>x\) names no genome.*pretrain.contrastive.weight: 0"),
        (
            [("x genome=a", "ACG")],
            None,
            True,
            "no record is as long as pretrain.min_length, 5 bases; the longest has 3",
        ),
        (
            [("x genome=a", "ACGTA"), ("y", "ACGTA")],
            PairGenomes(frozenset("bc"), frozenset("c")),
            True,
            r"(?s)of a genome that a pair names.*in the headers, and are such as a; the pairs.*  b\n.*  c\n.*"
            "pretrain.unseen_genomes: null",
        ),
        (
            [("x", "ACGTA")],
            PairGenomes(frozenset("b"), frozenset("b")),
            True,
            "in the headers, and are none at all",
        ),
        (
            [("x genome=b", "ACGTA")],
            PairGenomes(frozenset("b"), frozenset("b")),
            True,
            "every record is of a genome that a val or test pair has",
        ),
        ([("x genome=a", "")], None, True, "no record is as long"),
        ([("x genome=a", "ACG CGT GTA TTT")], None, True, "record 1: k-mer 4 .* does not go on"),
    ],
)
def test_what_can_not_be_used_is_said(tmp_path: Path, records, genomes, named, message):
    file = write(tmp_path / "genes.fa", *records)
    with pytest.raises(DnapairError, match=message):
        read_corpus([file], PATTERN, genomes, 5, 0, named=named)


@pytest.mark.parametrize(
    ("pattern", "message"), [("genome=(", "no regular expression"), ("genome=", "has no group")]
)
def test_pattern_that_is_none_is_said(tmp_path: Path, pattern: str, message: str):
    with pytest.raises(DnapairError, match=message):
        read_corpus([write(tmp_path / "a.fa", ("x", "ACGTA"))], pattern, None, 5, 0, named=True)


def test_held_out_genomes_are_a_share_and_the_same_for_one_seed():
    names = [f"g{number}" for number in range(50)]
    assert held_out(names, 0.1, 1) == held_out(names, 0.1, 1)
    assert len(held_out(names, 0.1, 1)) == 5
    assert held_out(names, 0.1, 1) != held_out(names, 0.1, 2)
    assert held_out(names, 0, 1) == []


def test_codes_are_those_of_the_vocabulary():
    assert base_codes("ATCGN").tolist() == [0, 1, 2, 3, 4]


def test_shipped_encoder_saw_no_genome_of_val_or_test():
    with (ROOT / "datasets" / "same_genome" / "pairs.csv").open() as file:
        rows = list(csv.DictReader(file))
    others = {row[column] for row in rows if row["split"] != "train" for column in ("genome1", "genome2")}
    seen = set((ROOT / "encoders" / "dnabert6-mini" / "genomes.txt").read_text().split())
    assert seen
    assert not seen & others
