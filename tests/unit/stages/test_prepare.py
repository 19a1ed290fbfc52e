"""The stage `prepare` on places of a genome."""

import gzip
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pandas as pd
import pytest

from dnapair.data.sequences import reverse_complement
from dnapair.errors import DnapairError
from dnapair.params import load_params
from dnapair.stages import crossvalidate, paths, prepare
from dnapair.storage.files import read_json
from tests.unit.data.genome_writing import write_2bit, write_bgzip, write_fasta
from tests.unit.stages.conftest import Folder

BUNDLED = Path(__file__).parents[3] / "datasets" / "same_genome"
SPACER = "ACGTTGCAAC"


def bundled() -> tuple[pd.DataFrame, dict[str, str]]:
    """Some pairs of the bundled data, and all its sequences."""
    pairs = pd.read_csv(BUNDLED / "pairs.csv")
    with gzip.open(BUNDLED / "sequences.fasta.gz", "rt") as file:
        lines = file.read().split("\n")
    records = [(line[1:].split()[0], lines[place + 1]) for place, line in enumerate(lines) if line[:1] == ">"]
    return pairs.sample(600, random_state=1), dict(records)


def little_genome(sequences: dict[str, str]) -> tuple[dict[str, str], dict[str, tuple[str, int, int, str]]]:
    """Chromosomes of these sequences with a spacer between, every third turned; and the place of each."""
    chromosomes: dict[str, str] = {}
    places = {}
    for number, (name, sequence) in enumerate(sequences.items()):
        chromosome = f"chr{number % 5 + 1}"
        before = chromosomes.get(chromosome, "") + SPACER
        strand = "-" if number % 3 == 0 else "+"
        chromosomes[chromosome] = (
            before + (reverse_complement(sequence) if strand == "-" else sequence).lower()
        )
        places[name] = (chromosome, len(before), len(before) + len(sequence), strand)
    return chromosomes, places


def prepared() -> pd.DataFrame:
    """Run the stage, and read its pairs with their sequences."""
    prepare.run()
    sequences = pd.read_parquet(paths.SEQUENCES)["sequence"]
    pairs = pd.read_parquet(paths.PAIRS)
    return pairs.assign(**{f"seq{side}": sequences[pairs[f"row{side}"]].to_numpy() for side in (1, 2)})


@pytest.mark.parametrize("write", [write_fasta, write_bgzip, write_2bit])
@pytest.mark.parametrize("form", ["BEDPE", "regions"])
def test_pairs_from_places_are_the_pairs_from_sequences(
    folder: Folder, write: Callable[[Path, dict[str, str]], Path], form: str
) -> None:
    pairs, sequences = bundled()
    used = {name: sequences[name] for name in dict.fromkeys(pairs[["id1", "id2"]].to_numpy().ravel())}
    chromosomes, places = little_genome(used)
    write(Path("genome"), chromosomes)
    data = Path("data")
    data.mkdir()
    tail = pairs[["label", "genome1", "genome2", "kind", "split"]].reset_index(drop=True)
    first, second = (pd.DataFrame([places[name] for name in pairs[side]]) for side in ("id1", "id2"))
    if form == "BEDPE":
        table = pd.concat([first[[0, 1, 2]], second[[0, 1, 2]]], axis=1)
        table.columns = ["chrom1", "start1", "end1", "chrom2", "start2", "end2"]
        table = table.assign(name=pairs["id1"].to_numpy(), score=".", strand1=first[3], strand2=second[3])
    else:
        table = pd.DataFrame(
            {
                f"place{side}": [f"{c}:{s}-{e}({strand})" for c, s, e, strand in own.itertuples(index=False)]
                for side, own in ((1, first), (2, second))
            }
        )
    pd.concat([table, tail], axis=1).to_csv(data / "pairs.tsv", sep="\t", index=False)
    folder.set({"data.genome": "genome"})
    from_places = prepared()
    assert read_json(paths.DATASET_REPORT)["genome"] == {"file": "genome", "renamed": {}}
    (data / "pairs.tsv").unlink()
    pairs.to_csv(data / "pairs.csv", index=False)
    write_fasta(data / "sequences.fasta", used, 80)
    folder.set({"data.genome": None})
    from_sequences = prepared()
    same = ["row1", "row2", "label", "split", "genome1", "genome2", "kind", "seq1", "seq2"]
    pd.testing.assert_frame_equal(from_places[same], from_sequences[same])
    assert from_places["chrom1"].tolist() == first[0].tolist()


def test_a_split_by_chromosome_is_one_setting(folder: Folder) -> None:
    rng = np.random.default_rng(1)
    chromosomes = {f"chr{n}": "".join(rng.choice(list("ACGT"), 3000)) for n in range(1, 9)}
    write_fasta(Path("genome.fa"), chromosomes)
    starts = rng.integers(0, 2900, (400, 2))
    rows = [
        f"chr{n % 8 + 1}:{a}-{a + 80},{n % 8 + 1}:{b}-{b + 80}(-),{n // 8 % 2}"
        for n, (a, b) in enumerate(starts.tolist())
    ]
    Path("data").mkdir()
    Path("data/pairs.csv").write_text("left,right,label\n" + "\n".join(rows) + "\n")
    folder.set(
        {
            "data.genome": "genome.fa",
            "data.width": 60,
            "split.method": "grouped",
            "split.groups": ["chrom1", "chrom2"],
            "split.validation": 0.2,
            "split.test": 0.2,
        }
    )
    pairs = prepared()
    assert set(pairs["seq1"].str.len()) == {60}
    # one of the columns has chr before the number and the other not: the chromosome is the same
    assert (pairs["chrom1"] == pairs["chrom2"]).all()
    assert len(pairs[["chrom1", "split"]].drop_duplicates()) == 8
    assert set(pairs["split"]) == {"train", "val", "test"}


def test_a_fault_leaves_nothing(folder: Folder) -> None:
    write_fasta(Path("genome.fa"), {"chr1": "ACGT" * 20})
    Path("data").mkdir()
    Path("data/pairs.csv").write_text("a,b,label\nchr1:0-20,chr1:30-90,1\nchr1:0-20,chr1:3-9,0\n")
    folder.set({"data.genome": "genome.fa"})
    with pytest.raises(DnapairError, match=r"data/pairs\.csv, line 2, place 2: chr1:30-90: it is not all in"):
        prepare.run()
    assert [path.name for path in Path("artifacts").iterdir()] == ["locks"]
    assert not paths.DATASET_REPORT.exists()


@pytest.mark.parametrize("cross_pairs", ["together", "drop"])
@pytest.mark.parametrize("strands", ["both", "forward"])
def test_both_strands_of_a_sequence_are_in_one_split(folder: Folder, cross_pairs: str, strands: str) -> None:
    """Each of 80 guides is written on either strand, at random."""
    rng = np.random.default_rng(1)
    guides = ["".join(rng.choice(list("ACGT"), 20)) for _ in range(80)]
    sites = ["".join(rng.choice(list("ACGT"), 40)) for _ in range(600)]
    rows = [
        (guide if rng.random() < 0.5 else reverse_complement(guide), site, number % 2)
        for number, (guide, site) in enumerate(zip(guides * 8, sites, strict=False))
    ]
    Path("data").mkdir()
    pd.DataFrame(rows, columns=["seq1", "seq2", "label"]).to_csv("data/pairs.csv", index=False)
    folder.set({"split.method": "grouped", "split.groups": ["seq1"], "split.cross_pairs": cross_pairs})
    folder.set({"split.strands": strands, "split.validation": 0.2, "split.test": 0.2})
    pairs = prepared()
    strand = pairs["seq1"].map(lambda sequence: min(sequence, reverse_complement(sequence)))
    placed = pd.DataFrame({"guide": strand, "split": pairs["split"]}).drop_duplicates()
    assert (len(placed) == 80) == (strands == "both")
    assert set(pairs["split"]) == {"train", "val", "test"}


@pytest.mark.parametrize("strands", ["both", "forward"])
def test_folds_and_resamples_take_both_strands_of_a_sequence_for_one(folder: Folder, strands: str) -> None:
    rng = np.random.default_rng(1)
    sequences = ["".join(rng.choice(list("ACGT"), 30)) for _ in range(6)]
    sequences += [reverse_complement(sequence) for sequence in sequences[:3]]
    rows = np.arange(9)
    folder.write(sequences, rows, (rows + 4) % 9, np.repeat("train", 9))
    folder.set({"split.strands": strands})
    data = crossvalidate.read_data(["seq1", "seq2"], load_params().split)
    np.testing.assert_array_equal(data.rows[:, 0], rows)
    for numbers in (data.either, data.groups):
        assert len(np.unique(numbers)) == (6 if strands == "both" else 9)
        np.testing.assert_array_equal(numbers[6:, 0] == numbers[:3, 0], np.repeat(strands == "both", 3))


PEAK = """
import resource
from pathlib import Path
from dnapair.data.dataset import Reading, read_dataset
from dnapair.data.raw_files import find_files
dataset = read_dataset(find_files(Path("data")), Reading(genome=Path({genome!r}), width=200), Path())
print(len(dataset.pairs), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["fasta", "2bit"])
def test_memory_does_not_grow_with_the_genome(tmp_path: Path, kind: str) -> None:
    """300 million bases against 3 million."""
    (tmp_path / "data").mkdir()
    rng = np.random.default_rng(1)
    peaks = {}
    for millions in (3, 300):
        bases, chromosomes = millions * 10**6 // 3, ("chr1", "chr2", "chr3")
        genome = tmp_path / f"genome{millions}"
        with genome.open("wb") as file:
            _write_large(file, kind, chromosomes, bases)
        starts = rng.integers(500, bases - 500, (30000, 2))
        with (tmp_path / "data" / "pairs.bedpe").open("w") as file:
            for number, (one, two) in enumerate(starts.tolist()):
                name1, name2 = chromosomes[number % 3], chromosomes[number // 3 % 3]
                print(name1, one, one + 99, name2, two, two + 99, number % 2, sep="\t", file=file)
        done = subprocess.run(
            [sys.executable, "-c", PEAK.format(genome=str(genome))],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        )
        pairs, peaks[millions] = map(int, done.stdout.split())
        assert pairs > 29000
        genome.unlink()
    assert peaks[300] - peaks[3] < 40_000, peaks


def _write_large(file: BinaryIO, kind: str, chromosomes: tuple[str, ...], bases: int) -> None:
    rng = np.random.default_rng(2)
    if kind == "2bit":
        records = 16 + 9 * len(chromosomes)
        offsets = [records + number * (16 + bases // 4) for number in range(len(chromosomes))]
        file.write(struct.pack("<4I", 0x1A412743, 0, len(chromosomes), 0))
        for name, offset in zip(chromosomes, offsets, strict=True):
            file.write(bytes([len(name)]) + name.encode() + struct.pack("<I", offset))
    for name in chromosomes:
        file.write(struct.pack("<4I", bases, 0, 0, 0) if kind == "2bit" else f">{name}\n".encode())
        for _ in range(bases // 10**6):
            if kind == "2bit":
                file.write(rng.bytes(250_000))
            else:
                lines = np.full((20_000, 51), ord("\n"), np.uint8)
                lines[:, :50] = np.frombuffer(b"ACGT", np.uint8)[rng.integers(0, 4, (20_000, 50))]
                file.write(lines.tobytes())
