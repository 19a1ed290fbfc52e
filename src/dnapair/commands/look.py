"""What a folder or file of pairs is taken for, and the settings that follow from it."""

import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow.compute as pc
from pydantic import ValidationError

from dnapair.data.columns import usual_name
from dnapair.data.dataset import Dataset
from dnapair.data.detection import valued_columns
from dnapair.data.places import CUT_OUT
from dnapair.data.raw_files import stem
from dnapair.data.splits import SPLITS, sharing, split_code
from dnapair.errors import DnapairError
from dnapair.interactions.layout import sides_differ
from dnapair.params import Data, Params, Split
from dnapair.params.sections import Columns
from dnapair.stages import paths
from dnapair.stages.prepare import Division, count_splits, divide, left_out_line, read

_GROUP_NAME = re.compile(
    r"genome|chrom|chr\d?$|contig|scaffold|famil|fam\d?$|gene\d?$|gene_?id|species|strain|taxon|organism"
    r"|cluster|clade|locus|patient|donor",
    re.IGNORECASE,
)
"""What columns are called that hold what pairs have in common."""
_SPLIT_NAME = re.compile("split|set|fold|part", re.IGNORECASE)
_NUMBER = re.compile(r"-?\d*\.?\d+(e[-+]?\d+)?", re.IGNORECASE)
_LEAST_GROUPS, _MOST_GROUPS = 5, 100_000
_FOUND = ("pairs", "sequences", "header", "positive_label", "genome", "width")
"""Settings of `data` that are about one folder or file."""
_TWINS = {"1": "2", "a": "b", "A": "B"}


class Look(NamedTuple):
    """What was found.

    Attributes
    ----------
    lines : dict
        What each part of the data was taken for.
    settings : dict
        Values of settings, by their names in params.yaml.
    unsure : list of str
        What may be otherwise, and what to set then.
    """

    lines: dict[str, str]
    settings: dict[str, Any]
    unsure: list[str]


def look(source: Path, params: Params, given: Collection[str]) -> Look:
    """Read pairs as `prepare` will, and tell what they are.

    Parameters
    ----------
    source
        A folder or a file.
    params
        The settings.
    given
        Names of those in ``data`` and ``split`` that hold for these data; the others are found.

    Returns
    -------
    Look
        With settings that these data need, and none that was given.

    Raises
    ------
    DnapairError
        If `prepare` could not read or split them either.
    """
    reading = _lenient(source, params.data, given)
    # beside the outputs, once there are any: a system's temporary files may lie in memory
    scratch = paths.DATASET.parent
    dataset = read(reading, scratch if scratch.is_dir() else None)
    groups = _shared_columns(dataset)
    fixed = {key.partition(".")[2] for key in given if key.startswith("split.")}
    split, division = _choose_split(dataset, params.split, groups, fixed)
    settings = _data_settings(dataset, reading) | {f"split.{key}": value for key, value in split.items()}
    there = {*dataset.extras, "seq1", "seq2"}
    for name in ("groups", "slices"):
        if not there.issuperset(getattr(params.evaluate, name) or []):
            settings[f"evaluate.{name}"] = None
    settings = {key: value for key, value in settings.items() if key not in given}
    chosen = Split(**(params.split.model_dump() | split))
    lines = _data_lines(dataset) | {"splits": _split_line(chosen, division)}
    if groups:
        lines["groups"] = "; ".join(f"{name}: {number:,}" for name, number in list(groups.items())[:6])
    doubts = [*_order_doubt(dataset, settings)]
    if chosen.method == "random" and "method" not in fixed:
        doubts += _split_doubt(dataset, chosen, division, groups)
    return Look(lines, settings, doubts)


def _lenient(source: Path, data: Data, given: Collection[str]) -> Data:
    """Return settings that read all that can be read, and forget what was set for other data."""
    plain = dict.fromkeys(_FOUND) | {"header": "auto"}
    # only what stops there: dropping pairs stays
    plain |= {"ambiguous": "keep"} if data.ambiguous == "error" else {}
    plain |= {"contradictory": "drop"}
    columns = {name: value for name, value in data.columns if f"data.columns.{name}" in given}
    changes = {name: value for name, value in plain.items() if f"data.{name}" not in given}
    return data.model_copy(update={**changes, "columns": Columns(**columns), "path": str(source)})


def _data_settings(dataset: Dataset, reading: Data) -> dict[str, Any]:
    settings = {f"data.{name}": getattr(reading, name) for name in _FOUND}
    settings |= {f"data.columns.{role}": None for role in Columns.model_fields}
    tables, roles = dataset.sources.tables, dataset.sources.roles
    for place, role in enumerate(_roles(dataset)):
        found = {one[place] for one in roles}
        usual = all(usual_name(table, role) == one[place] for table, one in zip(tables, roles, strict=True))
        # where tables differ, `prepare` finds the columns of each again
        if not usual and len(found) == 1 and not found & {*CUT_OUT}:
            settings[f"data.columns.{role}"] = found.pop()
    ambiguous = dataset.counts["sequences"]["ambiguous"]
    contradictory = dataset.counts["pairs"]["dropped_contradictory"]
    settings["data.ambiguous"] = reading.ambiguous if ambiguous else "error"
    settings["data.contradictory"] = reading.contradictory if contradictory else "error"
    return settings


def _roles(dataset: Dataset) -> tuple[str, str, str]:
    return ("id1", "id2", "label") if dataset.sources.roles[0].by_id else ("seq1", "seq2", "label")


def _choose_split(
    dataset: Dataset, split: Split, groups: Mapping[str, int], fixed: Collection[str]
) -> tuple[dict[str, Any], Division]:
    """Return the settings of the most honest split that these pairs have or allow, and the split."""
    own = {name: getattr(split, name) for name in fixed}
    refused: Exception | None = None
    for candidate in _candidates(dataset, groups):
        if own.get("method", candidate["method"]) != candidate["method"]:
            continue
        try:
            division = divide(dataset, Split(**(split.model_dump() | candidate | own)))
        except (DnapairError, ValidationError) as error:
            refused = error
            continue
        held_out = np.count_nonzero(division.split == "test")
        # one large group may leave next to nothing for test
        if candidate["method"] != "grouped" or fixed or held_out >= len(division.split) * split.test / 2:
            return candidate | own, division
    # the error says why; of settings that nobody gave it would be none of the user's
    if not own and isinstance(refused, DnapairError):
        raise refused
    return own, divide(dataset, split)


def _candidates(dataset: Dataset, groups: Mapping[str, int]) -> Iterator[dict[str, Any]]:
    sides = _two_sided(groups)
    column = _split_column(dataset)
    if column:
        yield {"method": "predefined", "column": column, "groups": sides, "cross_pairs": "together"}
    if split_code("test") in {split_code(stem(table.path)) for table in dataset.sources.tables}:
        yield {"method": "predefined", "column": None, "groups": sides, "cross_pairs": "together"}
    one_sided = ([name] for name in groups if _GROUP_NAME.search(name))
    for wanted in (sides, *one_sided, []):
        yield {"method": "grouped", "groups": wanted, "cross_pairs": "together"}
    yield {"method": "random", "groups": sides, "cross_pairs": "together"}


def _split_column(dataset: Dataset) -> str | None:
    tables = dataset.sources.tables
    found = set.intersection(*(set(valued_columns(table, split_code)) for table in tables))
    columns = sorted(found & set(dataset.extras), key=lambda name: (not _SPLIT_NAME.search(name), name))
    return columns[0] if columns else None


def _shared_columns(dataset: Dataset) -> dict[str, int]:
    """Return the columns whose values several pairs have, with their number of values; usual names first."""
    values: dict[str, set[str]] = {name: set() for name in dataset.extras}
    for _, texts in dataset.sources.texts(dataset.extras) if values else ():
        for name in [name for name in values if name in texts]:
            values[name].update(pc.unique(texts[name]).to_pylist())
            if len(values[name]) > _MOST_GROUPS:
                del values[name]
    most = len(dataset.pairs) // 2
    shared = {
        name: len(found - {""})
        for name, found in values.items()
        if _LEAST_GROUPS <= len(found - {""}) <= most
        and (_GROUP_NAME.search(name) or not all(map(_NUMBER.fullmatch, found - {""})))
    }
    return dict(sorted(shared.items(), key=lambda item: not _GROUP_NAME.search(item[0])))


def _two_sided(groups: Mapping[str, int]) -> list[str]:
    """Return the columns that name the groups of either side, such as genome1 and genome2."""
    for name in groups:
        twin = name[:-1] + _TWINS.get(name[-1], "")
        if twin in groups and twin != name and _GROUP_NAME.search(name):
            return [name, twin]
    return []


def _data_lines(dataset: Dataset) -> dict[str, str]:
    sources, counts = dataset.sources, dataset.counts
    files = ", ".join(f"{name} {size:,}" for name, size in list(counts["files_read"]["pairs"].items())[:4])
    header = "a line of names" if sources.tables[0].header else "no line of names"
    first, second, label = sources.roles[0][:3]
    by_id = sources.roles[0].by_id
    what = f"ids of {sum(counts['files_read']['sequences'].values()):,} FASTA records" if by_id else "DNA"
    positive = ", ".join(counts["positive_label"])
    related = sum(counts["labels"][value] for value in counts["positive_label"])
    total = sum(counts["labels"].values())
    lengths = np.fromiter(map(len, dataset.sequences), np.int64, len(dataset.sequences))
    rows = dataset.rows
    sides = [np.unique(side) for side in rows.T]
    spans = [
        f"{side.size:,} of {lengths[side].min():,} to {lengths[side].max():,} bases".replace(
            f"{lengths[side].min():,} to {lengths[side].min():,} b", f"{lengths[side].min():,} b"
        )
        for side in sides
    ]
    ambiguous = counts["sequences"]["ambiguous"]
    dropped = {
        "repeats": counts["pairs"]["dropped_duplicate"],
        "rows of pairs with both labels": counts["pairs"]["dropped_contradictory"],
        "with letters outside ACGT": counts["pairs"]["dropped_ambiguous"],
    }
    left_out = ", ".join(f"{number:,} {what}" for what, number in dropped.items() if number)
    return {
        "pairs": f"{counts['pairs']['read']:,} ({files}; {header}); left out: {left_out or 'none'}",
        "label": f"{label}: {related:,} related ({positive}), {total - related:,} unrelated",
        "first": f"{first}: {what}, {spans[0]}",
        "second": f"{second}: {what}, {spans[1]}",
        "letters": f"others than ACGT in {ambiguous:,} sequences" if ambiguous else "ACGT",
        "sides": "of two kinds: the order of a pair is kept"
        if sides_differ(rows[:, 0], rows[:, 1], lengths)
        else "of one kind: both orders of a pair have one score",
    }


def _split_line(split: Split, division: Division) -> str:
    counts = count_splits(division.dataset, division.split)
    dropped = f"; {left_out_line(division)}" if division.dropped else ""
    sizes = ", ".join(f"{name} {counts[name]['pairs']:,}" for name in SPLITS)
    drawn = f"; val is drawn from train ({division.drawn:,})" if division.drawn else ""
    by = {
        "predefined": f"by column {split.column}" if split.column else "by the files' names",
        "grouped": f"grouped by {', '.join([*split.groups, 'sequence'])}",
        "random": "at random",
    }[split.method]
    return f"{by}: {sizes}{drawn}{dropped}"


def _order_doubt(dataset: Dataset, settings: Mapping[str, Any]) -> Iterator[str]:
    one, other, _ = (f"data.columns.{role}" for role in _roles(dataset))
    if settings.get(one) and settings.get(other):
        yield (
            "which sequence is first: this is the table's order. The other way round: "
            f"--{one} '{settings[other]}' --{other} '{settings[one]}'"
        )


def _split_doubt(
    dataset: Dataset, split: Split, division: Division, groups: Mapping[str, int]
) -> Iterator[str]:
    seen = sharing(dataset.rows, division.split)["test"]
    if not seen.both + seen.one:
        return
    doubt = f"the split: {seen.both + seen.one:.0%} of the test pairs have a sequence that train has too."
    for name in (*groups, "seq1", "seq2"):
        apart = {"method": "grouped", "groups": [name], "cross_pairs": "drop"}
        try:
            left = divide(dataset, Split(**(split.model_dump() | apart)))
        except DnapairError:
            continue
        yield (
            f"{doubt} To keep groups apart, with {len(left.dataset.pairs):,} pairs: --split.method grouped "
            f"--split.groups '[{name}]' --split.cross_pairs drop"
        )
        return
    yield doubt
