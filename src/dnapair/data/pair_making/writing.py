"""The files of a made data set: FASTA, the table of pairs, and a card that says how they came about."""

import gzip
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from tqdm import tqdm

from dnapair.data.pair_making.drawing import KINDS, DrawnPairs
from dnapair.data.pair_making.fragments import Fragments
from dnapair.data.pair_making.settings import Settings
from dnapair.data.splits import SPLITS
from dnapair.storage.files import sha256

_BLOCK = 65536
"""Records or pairs written at a time."""


def write_fasta(path: Path, fragments: Fragments, ids: Sequence[str], turned: NDArray[np.bool_]) -> None:
    """Write the fragments as FASTA, gz; the headers say where each is from."""
    length = fragments.bases.shape[1]
    strands = np.where(turned, "-", "+").tolist()
    # no time and no name in it: the same data are the same bytes. Level 6 is 14 % smaller and 10 times slower
    with path.open("wb") as raw, gzip.GzipFile("", "wb", 1, raw, mtime=0) as file:
        for start in _blocks(len(ids), "write sequences"):
            text = fragments.bases[start : start + _BLOCK].tobytes().decode()
            rows = range(start, start + len(text) // length)
            file.writelines(
                f">{ids[row]} genome={fragments.names[fragments.genomes[row]]} "
                f"record={fragments.records[row]} start={fragments.starts[row]} strand={strands[row]}\n"
                f"{text[(row - start) * length : (row - start + 1) * length]}\n".encode()
                for row in rows
            )


def write_table(path: Path, fragments: Fragments, ids: Sequence[str], pairs: DrawnPairs) -> None:
    """Write pairs.csv."""
    id_array, names = np.array(ids, object), np.array(fragments.names, object)
    with path.open("w", encoding="utf-8", newline="") as file:
        for start in _blocks(len(pairs.rows), "write pairs"):
            part = slice(start, start + _BLOCK)
            first, second = pairs.rows[part].T
            columns = {
                "id1": id_array[first],
                "id2": id_array[second],
                "label": (pairs.kinds[part] == KINDS.index("same")).astype(int),
                "genome1": names[fragments.genomes[first]],
                "genome2": names[fragments.genomes[second]],
                "kind": np.array(KINDS, object)[pairs.kinds[part]],
                "split": np.array(SPLITS, object)[pairs.splits[part]],
            }
            pd.DataFrame(columns).to_csv(file, index=False, header=start == 0, lineterminator="\n")


def _blocks(total: int, title: str) -> Iterator[int]:
    with tqdm(total=total, desc=title, dynamic_ncols=True, disable=None) as bar:
        for start in range(0, total, _BLOCK):
            yield start
            bar.update(min(_BLOCK, total - start))


def card(
    name: str,
    files: Sequence[Path],
    settings: Settings,
    fragments: Fragments,
    pairs: DrawnPairs,
    gc: NDArray[np.float64],
) -> str:
    """Describe the data set: what it is, what it was made from and how.

    Parameters
    ----------
    name
        Of its folder.
    files
        What it was made from.
    settings
        How it was made.
    fragments, pairs
        What is in it.
    gc : np.ndarray, shape=(n,)
        GC content of each fragment, 0 to 1.

    Returns
    -------
    str
        Markdown. Only the names of the files are in it, not where they lie.
    """
    n, length = fragments.bases.shape
    split_of = np.empty(n, np.int64)
    split_of[pairs.rows] = pairs.splits[:, None]
    gaps = np.abs(np.diff(gc[pairs.rows])).reshape(-1)
    options = [
        f"--{key.replace('_', '-')}={value}" for key, value in settings._asdict().items() if value is not None
    ]
    command = ["dnapair", "make-pairs", *(file.name for file in files), f"--output={name}", *options]
    lines = [
        f"# {name}: do two DNA fragments come from the same genome?",
        "",
        "| file | what |",
        "|---|---|",
        f"| `sequences.fasta.gz` | {n:,} fragments of {length} bp, A/C/G/T only, each from another record; "
        "the header gives `genome=`, `record=`, `start=` (from 1, in the record as it is) and `strand=` |",
        f"| `pairs.csv` | {len(pairs.rows):,} pairs: `id1,id2,label,genome1,genome2,kind,split` |",
        "",
        "- **Strand**: half of the fragments are reverse-complemented at random, so orientation is no clue.",
        f"- **Positive** ({settings.positive:.0%}, `kind=same`): two different fragments of one genome.",
        "- **Negative**: `random`, two fragments of different genomes; `gc_matched`, the GC contents of a "
        f"positive pair, repeated with two other genomes, each to within {settings.gc_tolerance:g} "
        f"({pairs.gc_error:.4f} on average).",
        "- **Split**: by genome: no genome, and so no fragment, is in two splits. Both fragments of a "
        "negative pair are from one split.",
        "- **Known noise**: what has two names counts as two genomes (a chromosome and its plasmid, two "
        "strains of one species, two scaffolds of one assembly); not measured.",
        "",
        "| split | pairs | positive | fragments | genomes |",
        "|---|---|---|---|---|",
    ]
    for number, split in enumerate(SPLITS):
        own, inside = pairs.splits == number, split_of == number
        positive, genomes = np.sum(pairs.kinds[own] == 0), np.unique(fragments.genomes[inside])
        lines.append(f"| {split} | {np.sum(own):,} | {positive:,} | {np.sum(inside):,} | {len(genomes):,} |")
    lines += ["", "| kind | pairs | mean difference of the two GC contents |", "|---|---|---|"]
    for number, kind in enumerate(KINDS):
        own = pairs.kinds == number
        if own.any():
            lines.append(f"| {kind} | {np.sum(own):,} | {gaps[own].mean():.4f} |")
    lines += [
        "",
        "## Source",
        "",
        *(f"- `{file.name}`, SHA-256 `{sha256(file)}`" for file in files),
        "",
        "Records left out:",
        "",
        *(f"- {count:,}: {reason}" for reason, count in fragments.left_out.items() if count),
        "",
        "## Command",
        "",
        "```bash",
        shlex.join(command),
        "```",
        "",
    ]
    return "\n".join(lines)
