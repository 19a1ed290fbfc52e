"""Stage `prepare`: the raw data, read, checked, cleaned and split."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from dnapair import tracking
from dnapair.columns import ColumnNames
from dnapair.files import atomic_folder, sha256, write_json
from dnapair.pairs import Dataset, Reading, read_dataset
from dnapair.params import Data, Split, flatten, load_params
from dnapair.rawfiles import find_files
from dnapair.splits import SPLITS, Predefined, grouped_split, predefined_split, random_split, sharing
from dnapair.stages import paths


def run() -> None:
    """Read the raw data into artifacts/dataset, and count it in reports/dataset.json."""
    params = load_params()
    settings = flatten(params.data, "data") | flatten(params.split, "split")
    with tracking.stage_run("prepare", settings, paths.IDENTITIES) as run:
        dataset = read(params.data)
        division = divide(dataset, params.split)
        write(dataset, division.split, params.split.column if params.split.method == "predefined" else None)
        report = {
            **dataset.counts,
            "splits": count_splits(dataset, division.split),
            "validation_drawn_from_train": division.drawn,
            "sharing_with_train": {
                name: shared._asdict() for name, shared in sharing(dataset.rows, division.split).items()
            },
            "files": {path.name: sha256(path) for path in (paths.PAIRS, paths.SEQUENCES)},
        }
        write_json(paths.DATASET_REPORT, report)
        logged = ("pairs", "sequences", "splits", "sharing_with_train")
        run.log_metrics(numbers({key: report[key] for key in logged}))
        run.log_file(paths.DATASET_REPORT)


def read(data: Data) -> Dataset:
    """Read the raw data as the settings say."""
    files = find_files(Path(data.path), as_list(data.pairs), as_list(data.sequences))
    columns = ColumnNames(**data.columns.model_dump())
    reading = Reading(data.header, columns, data.positive_label, data.ambiguous, data.contradictory)
    return read_dataset(files, reading)


def divide(dataset: Dataset, split: Split) -> Predefined:
    """Split the pairs as the settings say."""
    labels = dataset.pairs["label"].to_numpy()
    if split.method == "random":
        return Predefined(random_split(labels, split.validation, split.test, split.seed), 0)
    if split.method == "grouped":
        groups = dataset.extra_columns(split.groups, "split.groups", "Name others, or none: [].")
        shares = (split.validation, split.test)
        return Predefined(grouped_split(dataset.rows, groups, labels, *shares, split.seed, dataset.places), 0)
    if split.column is None:
        names = dataset.sources.stems(dataset.pairs.index)
    else:
        remedy = "Name another; or null, if the tables are called train, val and test; or set split.method."
        names = dataset.extra_columns([split.column], "split.column", remedy)[split.column]
    return predefined_split(names, labels, split.validation, split.seed, dataset.places)


def write(dataset: Dataset, split: NDArray[np.str_], column: str | None) -> None:
    """Write artifacts/dataset; ``column`` is the one that the splits were read from."""
    pairs = pa.Table.from_pandas(dataset.pair_table(split, column), preserve_index=False)
    sequences = pa.table({"id": dataset.ids, "sequence": dataset.sequences})
    with atomic_folder(paths.DATASET) as folder:
        pq.write_table(as_strings(pairs), folder / paths.PAIRS.name)
        pq.write_table(sequences, folder / paths.SEQUENCES.name)


def as_strings(table: pa.Table) -> pa.Table:
    """Store text as plain strings, without pandas' own notes."""
    types = [pa.string() if pa.types.is_large_string(kind) else kind for kind in table.schema.types]
    return table.cast(pa.schema(list(zip(table.column_names, types, strict=True))))


def count_splits(dataset: Dataset, split: NDArray[np.str_]) -> dict[str, dict[str, int]]:
    """Count pairs, related pairs and unique sequences of each split."""
    counts = {}
    for name in SPLITS:
        pairs = dataset.pairs[split == name]
        used = np.unique(pairs[["row1", "row2"]].to_numpy())
        counts[name] = {"pairs": len(pairs), "related": int(pairs["label"].sum()), "sequences": len(used)}
    return counts


def numbers(counts: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    """Name nested numbers by their keys: ``{"pairs": {"read": 9}}`` becomes ``{"pairs.read": 9}``."""
    flat: dict[str, float] = {}
    for key, value in counts.items():
        flat |= numbers(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {prefix + key: value}
    return flat


def as_list(names: str | list[str] | None) -> list[str] | None:
    """Make a list of one name."""
    return [names] if isinstance(names, str) else names
