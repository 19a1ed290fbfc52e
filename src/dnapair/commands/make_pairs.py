"""`dnapair make-pairs`: FASTA of many genomes in, a data set of labelled pairs of fragments out."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dnapair.data.pair_making.drawing import draw_pairs
from dnapair.data.pair_making.fragments import (
    choose_fragments,
    count_gc,
    first_copies,
    read_fragments,
    split_genomes,
    turn_strands,
)
from dnapair.data.pair_making.settings import Settings
from dnapair.data.pair_making.writing import card, write_fasta, write_table
from dnapair.data.raw_files import fasta_files
from dnapair.errors import DnapairError
from dnapair.storage.files import atomic_folder, check_place


def run(inputs: Sequence[Path], output: Path, settings: Settings) -> None:
    """Write sequences.fasta.gz, pairs.csv and README.md.

    Parameters
    ----------
    inputs
        FASTA files, plain or packed, or folders of them.
    output
        A new folder.
    settings
        How the data set is made.

    Raises
    ------
    DnapairError
        If the folder has something in it already, an input can't be read, or the data do not make what is
        asked for; nothing is written then.
    """
    output = output.resolve()
    check_place(output, "--output", folder=True)
    if output.is_file() or (output.is_dir() and any(output.iterdir())):
        raise DnapairError(f"--output {output} is already there. Name a new folder, or remove this one.")
    if not 0 < settings.positive < 1:
        raise DnapairError(f"--positive {settings.positive:g}: pairs of both labels are needed.")
    if settings.val + settings.test >= 1:
        raise DnapairError(
            f"--val {settings.val:g} and --test {settings.test:g} leave nothing for train. Lower them."
        )
    files = list(dict.fromkeys(file for path in inputs for file in fasta_files(path, "FASTA")))
    fragments = read_fragments(files, settings)
    first = first_copies(fragments.bases)
    rows = first[choose_fragments(fragments.genomes[first], settings)]
    fragments.left_out["its fragment a copy of another one's"] = len(fragments.bases) - len(first)
    fragments.left_out["not drawn, or of too small a genome"] = len(first) - len(rows)
    fragments = fragments.take(rows)
    turned = turn_strands(fragments.bases, settings.seed)
    gc = count_gc(fragments.bases)
    splits = split_genomes(fragments.genomes, settings.val, settings.test, settings.seed)
    pairs = draw_pairs(fragments.genomes, splits, gc, settings)
    used = np.unique(pairs.rows)
    fragments.left_out["in no pair"] = len(rows) - len(used)
    fragments = fragments.take(used)
    pairs = pairs._replace(rows=np.searchsorted(used, pairs.rows))
    ids = [f"f{number:0{len(str(len(used) - 1))}d}" for number in range(len(used))]
    with atomic_folder(output) as folder:
        write_fasta(folder / "sequences.fasta.gz", fragments, ids, turned[used])
        write_table(folder / "pairs.csv", fragments, ids, pairs)
        text = card(output.name, files, settings, fragments, pairs, gc[used] / settings.length)
        (folder / "README.md").write_text(text, encoding="utf-8")
    genomes = len(np.unique(fragments.genomes))
    print(f"{output}: {settings.pairs:,} pairs of {len(used):,} fragments of {genomes:,} genomes.")
