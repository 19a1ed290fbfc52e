"""`dnapair make-pairs`: from FASTA to a folder that `prepare` reads."""

import gzip
import re
from pathlib import Path

import numpy as np
import pytest

from dnapair.commands.make_pairs import run
from dnapair.data.dataset import Reading, read_dataset
from dnapair.data.pair_making.settings import Settings
from dnapair.data.raw_files import find_files
from dnapair.data.sequences import reverse_complement
from dnapair.data.splits import predefined_split, sharing
from dnapair.errors import DnapairError
from dnapair.storage.files import sha256

NAMES = [f"NC_{number}.1" for number in range(30)]
OPTIONS = Settings(
    genome=r"genome=(\S+)|ref\|([^|]+)\|",
    only=None,
    length=50,
    min_fragments=4,
    max_fragments=None,
    sequences=None,
    pairs=300,
    positive=0.35,
    gc_matched=0.5,
    gc_tolerance=0.1,
    val=0.2,
    test=0.2,
    seed=1,
)


@pytest.fixture(scope="module")
def records() -> dict[str, str]:
    rng = np.random.default_rng(1)
    return {
        f"gi|{gene}|ref|{name}|:{gene}": "".join(rng.choice(list("ACGT"), rng.integers(50, 80)))
        for name in NAMES
        for gene in range(8)
    }


@pytest.fixture(scope="module")
def fasta(records: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("genes") / "genes.fa.gz"
    with gzip.open(file, "wt") as out:
        out.writelines(f">{header} gene\n{sequence.lower()}\n" for header, sequence in records.items())
    return file


def test_prepare_reads_what_was_made(fasta: Path, tmp_path: Path):
    run([fasta], tmp_path / "made", OPTIONS)
    assert {file.name for file in (tmp_path / "made").iterdir()} == {
        "sequences.fasta.gz",
        "pairs.csv",
        "README.md",
    }
    dataset = read_dataset(find_files(tmp_path / "made"), Reading())
    labels = dataset.pairs["label"].to_numpy()
    assert dataset.counts["pairs"] == {
        "read": 300,
        "dropped_ambiguous": 0,
        "dropped_contradictory": 0,
        "dropped_duplicate": 0,
        "kept": 300,
    }
    assert dataset.counts["sequences"]["unused"] == 0
    assert dataset.extras == ["genome1", "genome2", "kind", "split"]
    extras = dataset.extra_columns(dataset.extras, "a test", "").astype(str)
    assert (labels == (extras["genome1"] == extras["genome2"])).all()
    assert labels.sum() == 105
    split = predefined_split(extras["split"], labels, 0.1, 1, dataset.places).split
    assert [int(np.sum(split == name)) for name in ("train", "val", "test")] == [180, 60, 60]
    assert all(shared.none == 1 for shared in sharing(dataset.rows, split).values())


def test_fragments_come_from_the_records_that_their_headers_name(
    fasta: Path, records: dict[str, str], tmp_path: Path
):
    run([fasta], tmp_path / "made", OPTIONS)
    lines = gzip.decompress((tmp_path / "made" / "sequences.fasta.gz").read_bytes()).decode().splitlines()
    strands = set()
    for header, fragment in zip(lines[::2], lines[1::2], strict=True):
        found = re.fullmatch(r">f\d+ genome=(\S+) record=(\S+) start=(\d+) strand=([+-])", header)
        genome, record, start, strand = found.groups()
        strands.add(strand)
        assert f"|{genome}|" in record
        origin = records[record][int(start) - 1 :][:50]
        assert fragment == (origin if strand == "+" else reverse_complement(origin))
    assert strands == {"+", "-"}
    assert len(set(lines[::2])) == len(lines) // 2


def test_same_seed_gives_the_same_bytes(fasta: Path, tmp_path: Path):
    for folder in ("one", "two"):
        run([fasta], tmp_path / folder / "made", OPTIONS)
    for name in ("sequences.fasta.gz", "pairs.csv", "README.md"):
        assert sha256(tmp_path / "one" / "made" / name) == sha256(tmp_path / "two" / "made" / name)


def test_card_tells_source_settings_and_what_was_left_out(
    fasta: Path, records: dict[str, str], tmp_path: Path
):
    folder = tmp_path / "in"
    folder.mkdir()
    gene = next(iter(records.values()))
    odd = {
        "no name": gene,
        "a genome=NZ_1": gene,
        "b genome=NC_1": gene[:49],
        "c genome=NC_1": "N" + gene,
        "d genome=NC_1": reverse_complement(gene),
    }
    (folder / "odd.fa").write_text("".join(f">{header}\n{sequence}\n" for header, sequence in odd.items()))
    run([fasta, folder], tmp_path / "made", OPTIONS._replace(only="^NC_", sequences=200))
    card = (tmp_path / "made" / "README.md").read_text()
    for line in (
        f"- `genes.fa.gz`, SHA-256 `{sha256(fasta)}`",
        "finds no genome in the header",
        "- 1: `^NC_` is not in the genome's name",
        "- 1: shorter than 50 bases",
        "- 1: letters other than A, C, G and T",
        "- 1: a copy of another record, on either strand",
        "dnapair make-pairs genes.fa.gz odd.fa --output=made",
        "--sequences=200",
        "| val | 60 | 21 |",
    ):
        assert line in card
    assert str(tmp_path) not in card


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pairs": 10_000}, r"--pairs 10000: the data make \d+ at most(.|\n)*val: 6 genomes, 48 fragments"),
        ({"sequences": 1000}, "--sequences 1000: only 240 fragments may be used, of 30 genomes"),
        (
            {"length": 500},
            r"no record can be used.\n  240 record\(s\): shorter than 500 bases\n(.|\n)*--length",
        ),
        ({"only": "^NZ_"}, r"240 record\(s\): `\^NZ_` is not in the genome's name"),
        ({"genome": "taxon=(.+)"}, r"finds no genome in the header\nThe last header is: >gi\|7\|ref"),
        ({"genome": "taxon"}, "--genome: 'taxon' has no group"),
        ({"only": "("}, r"--only: '\(' is no regular expression"),
        ({"positive": 1}, "--positive 1: pairs of both labels are needed"),
        ({"val": 0.5, "test": 0.5}, "leave nothing for train"),
    ],
)
def test_what_can_not_be_made_is_said_and_nothing_is_written(fasta: Path, tmp_path: Path, changes, message):
    with pytest.raises(DnapairError, match=message):
        run([fasta], tmp_path / "made", OPTIONS._replace(**changes))
    assert list(tmp_path.iterdir()) == []


def test_folder_with_something_in_it_is_left_alone(fasta: Path, tmp_path: Path):
    (tmp_path / "own.txt").write_text("mine")
    with pytest.raises(DnapairError, match=r"is already there\. Name a new folder"):
        run([fasta], tmp_path, OPTIONS)
    assert [file.name for file in tmp_path.iterdir()] == ["own.txt"]
