"""Stage `prepare`: the raw data, read, checked, cleaned and split."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from dnapair import tracking
from dnapair.data.columns import ColumnNames
from dnapair.data.dataset import Dataset, Reading, read_dataset
from dnapair.data.grouped_splits import Separated, grouped_split, separated_split
from dnapair.data.groups import SEQUENCE_ROWS
from dnapair.data.pair_columns import PairColumns
from dnapair.data.places import CUT_OUT, spell_renamed
from dnapair.data.raw_files import EXAMPLES, find_files
from dnapair.data.splits import SPLITS, predefined_split, random_split, sharing, split_codes
from dnapair.data.strands import canonical_rows
from dnapair.machine.memory import return_freed_arrays
from dnapair.params import Data, Split, flatten, load_params
from dnapair.stages import paths
from dnapair.stages.imported import check_data
from dnapair.storage.files import atomic_folder, sha256, write_json, write_sums
from dnapair.storage.sequence_file import write_sequences

GROUP_ROWS = 65536


class Division(NamedTuple):
    """Pairs and their splits.

    Attributes
    ----------
    dataset
        The pairs that are in a split.
    split : np.ndarray, shape=(n,)
        ``train``, ``val`` or ``test``.
    drawn
        Pairs that are in val because they were drawn from train.
    dropped
        Pairs that are in no split, by the reason and the label.
    """

    dataset: Dataset
    split: NDArray[np.object_]
    drawn: int = 0
    dropped: Mapping[str, Mapping[str, int]] | None = None


def run() -> None:
    """Read the raw data into artifacts/dataset, and count it in reports/dataset.json."""
    return_freed_arrays()
    params = load_params()
    settings = flatten(params.data, "data") | flatten(params.split, "split")
    with tracking.stage_run("prepare", settings, paths.IDENTITIES) as run:
        # beside the output: a system's temporary files may lie in memory
        paths.DATASET.parent.mkdir(exist_ok=True)
        check_data(Path(params.data.path))
        division = divide(read(params.data, paths.DATASET.parent), params.split)
        dataset = division.dataset
        print(left_out_line(division), end="\n" if division.dropped else "")
        write(dataset, division.split, params.split.column if params.split.method == "predefined" else None)
        report = {
            **dataset.counts,
            "columns": [pair._asdict() for pair in pair_columns(dataset)],
            "splits": count_splits(dataset, division.split),
            "validation_drawn_from_train": division.drawn,
            **({"dropped_across_splits": division.dropped} if division.dropped else {}),
            "repeated_across_splits": repeated_across_splits(dataset, params.split),
            "sharing_with_train": {
                name: shared._asdict() for name, shared in sharing(dataset.rows, division.split).items()
            },
            "files": {path.name: sha256(path) for path in (paths.PAIRS, paths.SEQUENCES)},
        }
        write_json(paths.DATASET_REPORT, report)
        logged = ("pairs", "sequences", "splits", "sharing_with_train", "dropped_across_splits")
        run.log_metrics(numbers({key: report[key] for key in logged if key in report}))
        for name in report["splits"]:
            run.log_split(tracking.Split.of(name, report))
        run.log_file(paths.DATASET_REPORT)
        splits = ", ".join(f"{counts['pairs']:,} in {name}" for name, counts in report["splits"].items())
        run.describe(
            f"{len(dataset.pairs):,} pairs of {len(dataset.sequences):,} sequences; split "
            f"{params.split.method}: {splits}."
        )


def read(data: Data, scratch: Path | None) -> Dataset:
    """Read the raw data as the settings say; its text goes into temporary files in ``scratch``."""
    files = find_files(Path(data.path), as_list(data.pairs), as_list(data.sequences))
    columns = ColumnNames(**data.columns.model_dump())
    reading = Reading(
        data.header,
        columns,
        data.positive_label,
        data.ambiguous,
        data.contradictory,
        Path(data.genome) if data.genome else None,
        data.width,
    )
    dataset = read_dataset(files, reading, scratch)
    renamed = dataset.counts.get("genome", {}).get("renamed")
    if renamed:
        print(spell_renamed(renamed))
    return dataset


def divide(dataset: Dataset, split: Split) -> Division:
    """Split the pairs as the settings say."""
    labels = dataset.pairs["label"].to_numpy()
    if split.method == "random":
        return Division(dataset, random_split(labels, split.validation, split.test, split.seed))
    if split.method == "grouped":
        # a pair is of its two sequences, whatever their strand
        rows = canonical_rows(dataset.sequences)[dataset.rows] if split.strands == "both" else dataset.rows
        groups = read_groups(dataset, split.groups, rows)
        asked = (rows, groups, labels, split.validation, split.test, split.seed, dataset.places)
        if split.cross_pairs == "drop":
            return leave_out(dataset, separated_split(*asked))
        return Division(dataset, grouped_split(*asked))
    names = named_splits(dataset, split.column, dataset.pairs.index)
    named = predefined_split(names, labels, split.validation, split.seed, dataset.places)
    return Division(dataset, named.split, named.drawn)


def named_splits(dataset: Dataset, column: str | None, numbers: "pd.Index[int]") -> "pd.Series[Any]":
    """Return what the column, or for None the table's file name, calls the split of each of these pairs."""
    if column is None:
        return dataset.sources.stems(numbers)
    remedy = "Name another; or null, if the tables are called train, val and test; or set split.method."
    return dataset.extra_columns([column], "split.column", remedy, numbers)[column]


def read_groups(dataset: Dataset, columns: list[str], rows: NDArray[np.int64]) -> pd.DataFrame:
    """Return the groups of each pair: names, or the numbers of its sequences, which are ``rows``."""
    named = [name for name in columns if name not in SEQUENCE_ROWS]
    groups = dataset.extra_columns(named, "split.groups", "Name others, seq1 or seq2, or none: [].")
    for name in columns:
        if name in SEQUENCE_ROWS:
            groups[name] = rows[:, list(SEQUENCE_ROWS).index(name)]
    return groups


def leave_out(dataset: Dataset, separated: Separated) -> Division:
    """Leave out the pairs in no split, count them, and say so."""
    kept = pd.notna(separated.split)
    left = dataset.select(kept)
    total = len(kept) - len(left.pairs)
    left.counts["pairs"]["dropped_across_splits"] = total
    dropped = {
        reason: {"related": int(counts[1]), "unrelated": int(counts[0])}
        for reason, counts in (("groups", separated.groups), ("sequences", separated.sequences))
    }
    return Division(left, separated.split[kept], dropped=dropped)


def left_out_line(division: Division) -> str:
    """Say how many pairs are in no split, and why; empty where there is none."""
    if division.dropped is None:
        return ""
    total = division.dataset.counts["pairs"]["dropped_across_splits"]
    reasons = [
        f"{counts['related']} related and {counts['unrelated']} unrelated by their {reason}"
        for reason, counts in division.dropped.items()
    ]
    pairs = total + len(division.dataset.pairs)
    return f"{total} of {pairs} pairs lie across the splits and are left out: {'; '.join(reasons)}."


def repeated_across_splits(dataset: Dataset, split: Split) -> dict[str, Any]:
    """Count and name the pairs that the data has in two splits; all but the first of each were dropped."""
    numbers = pd.Index(dataset.repeats.ravel())
    if split.method != "predefined" or numbers.empty:
        return {"pairs": 0, "examples": []}
    codes = split_codes(named_splits(dataset, split.column, numbers)).reshape(-1, 2)
    found = np.flatnonzero((codes[:, 0] != codes[:, 1]) & (codes >= 0).all(axis=1))
    shown = found[:EXAMPLES]
    places = iter(dataset.sources.places(dataset.repeats[shown].ravel()))
    examples = [
        f"{next(places)} ({SPLITS[dropped]}) repeats {next(places)} ({SPLITS[kept]})"
        for dropped, kept in codes[shown].tolist()
    ]
    return {"pairs": found.size, "examples": examples}


def write(dataset: Dataset, split: NDArray[np.object_], column: str | None) -> None:
    """Write artifacts/dataset; ``column`` is the one that the splits were read from."""
    with atomic_folder(paths.DATASET) as folder:
        write_pairs(folder / paths.PAIRS.name, dataset.pair_batches(split, column))
        write_sequences(folder / paths.SEQUENCES.name, zip(dataset.ids, dataset.sequences, strict=True))
        write_sums(folder)


def write_pairs(path: Path, batches: Iterator[pa.RecordBatch]) -> None:
    """Write pairs in row groups of one size, however they come."""
    waiting = pa.Table.from_batches([next(batches)])
    with pq.ParquetWriter(path, waiting.schema) as writer:
        for batch in batches:
            waiting = pa.concat_tables([waiting, pa.Table.from_batches([batch])])
            whole = waiting.num_rows // GROUP_ROWS * GROUP_ROWS
            if whole:
                writer.write_table(waiting.slice(0, whole), GROUP_ROWS)
                waiting = waiting.slice(whole)
        writer.write_table(waiting, GROUP_ROWS)


def pair_columns(dataset: Dataset) -> list[PairColumns]:
    """Return what the tables call the two columns of a pair, each way once."""
    sources = dataset.sources
    pairs = (
        PairColumns(roles.first, roles.second, roles.by_id, table.header)
        for table, roles in zip(sources.tables, sources.roles, strict=True)
        # no column of the file: the genome is needed too
        if roles[:2] != CUT_OUT
    )
    return list(dict.fromkeys(pairs))


def count_splits(dataset: Dataset, split: NDArray[np.object_]) -> dict[str, dict[str, int]]:
    """Count pairs, related pairs and unique sequences of each split."""
    rows, labels = dataset.rows, dataset.pairs["label"].to_numpy()
    counts = {}
    for name in SPLITS:
        inside = split == name
        used = np.zeros(len(dataset.sequences), bool)
        used[rows[inside]] = True
        counts[name] = {
            "pairs": int(inside.sum()),
            "related": int(labels[inside].sum()),
            "sequences": int(used.sum()),
        }
    return counts


def numbers(counts: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    """Name nested numbers by their keys: ``{"pairs": {"read": 9}}`` becomes ``{"pairs/read": 9}``."""
    flat: dict[str, float] = {}
    for key, value in counts.items():
        flat |= numbers(value, f"{prefix}{key}/") if isinstance(value, Mapping) else {prefix + key: value}
    return flat


def as_list(names: str | list[str] | None) -> list[str] | None:
    """Make a list of one name."""
    return [names] if isinstance(names, str) else names
