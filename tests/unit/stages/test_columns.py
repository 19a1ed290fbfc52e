"""What `prepare` keeps of the names of columns."""

from pathlib import Path

import numpy as np
import pytest

from dnapair.stages import paths, prepare
from dnapair.storage.files import read_json
from tests.unit.data.genome_writing import write_fasta
from tests.unit.stages.conftest import Folder

SEQUENCES = ["".join(np.random.default_rng(seed).choice(list("ACGT"), 30)) for seed in range(60)]
PAIRS = list(zip(SEQUENCES[:30], SEQUENCES[30:], strict=True))


def table(name: str, header: str | None, row: str) -> None:
    """Write a table with a line for each pair."""
    lines = [row.format(n=n, a=a, b=b, y=n % 2) for n, (a, b) in enumerate(PAIRS)]
    Path("data", name).write_text("\n".join([*([header] if header else []), *lines]) + "\n")


@pytest.mark.parametrize(
    ("tables", "found"),
    [
        (
            {"pairs.csv": ("note,on_seq,off_seq,label", "x{n},{a},{b},{y}")},
            [("on_seq", "off_seq", False, True)],
        ),
        ({"pairs.csv": (None, "x{n},{a},{b},{y}")}, [("column2", "column3", False, False)]),
        # every way that tables have, each once
        (
            {
                "a.csv": ("miRNA,gene,label", "{a},{b},{y}"),
                "b.csv": ("gene,miRNA,label", "{b}A,{a},{y}"),
                "c.csv": ("seq1,seq2,label", "{a},{b}C,{y}"),
                "d.csv": ("seq1,seq2,label", "{a},{b}G,{y}"),
            },
            [("miRNA", "gene", False, True), ("seq1", "seq2", False, True)],
        ),
        ({"pairs.csv": ("id_a,id_b,label", "a{n},b{n},{y}")}, [("id_a", "id_b", True, True)]),
    ],
)
def test_the_names_of_a_pairs_columns_are_kept(folder: Folder, tables: dict, found: list[tuple]) -> None:
    Path("data").mkdir()
    for name, (header, row) in tables.items():
        table(name, header, row)
    records = {f"{side}{n}": pair[place] for n, pair in enumerate(PAIRS) for place, side in enumerate("ab")}
    if found[0][2]:
        write_fasta(Path("data/records.fa"), records)
    folder.set({"split.method": "random"})
    prepare.run()
    names = ("first", "second", "by_id", "named")
    assert read_json(paths.DATASET_REPORT)["columns"] == [dict(zip(names, one, strict=True)) for one in found]


def test_places_are_no_columns_to_score(folder: Folder) -> None:
    Path("data").mkdir()
    write_fasta(Path("genome.fa"), {"chr1": "".join(SEQUENCES)})
    table("pairs.csv", "left,right,label", "chr1:{n}-100,chr1:{n}-200,{y}")
    folder.set({"split.method": "random", "data.genome": "genome.fa"})
    prepare.run()
    assert read_json(paths.DATASET_REPORT)["columns"] == []
