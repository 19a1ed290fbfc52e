"""Each finding of the audit, from the state that brings it, by what it says, to the state without it."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from dnapair.checks.findings import Finding
from dnapair.checks.split_rows import SplitRows
from dnapair.data.sequences import reverse_complement
from dnapair.params import load_params
from dnapair.stages import paths, prepare
from dnapair.stages.validate import audited
from dnapair.storage.sequence_file import SequenceFile
from tests.unit.stages.conftest import Folder

PAIRS = 300
SETTING = re.compile(r"\b((?:split|evaluate|audit|data)\.\w+): (\[[^\]]*\]|\w+)")


def table() -> pd.DataFrame:
    """Pairs of sequences of their own, in splits that the table names; each test plants a fault."""
    rng = np.random.default_rng(1)
    drawn = np.frombuffer(b"ACGT", np.uint8)[rng.integers(0, 4, (2 * PAIRS, 60))]
    texts = [row.tobytes().decode() for row in drawn]
    return pd.DataFrame(
        {
            "seq1": texts[:PAIRS],
            "seq2": texts[PAIRS:],
            "label": np.arange(PAIRS) % 2,
            "split": np.repeat(["train", "val", "test"], [200, 50, 50]),
            "cluster1": [f"c{n}" for n in range(PAIRS)],
            "cluster2": [f"d{n}" for n in range(PAIRS)],
            "family": [f"f{n // 10}" for n in range(PAIRS)],
        }
    )


def repeat_pairs(pairs: pd.DataFrame) -> None:
    for held_out, trained in ((201, 1), (251, 11)):
        pairs.loc[held_out, "seq1"] = reverse_complement(pairs.loc[trained, "seq2"])
        pairs.loc[held_out, "seq2"] = pairs.loc[trained, "seq1"]


def repeat_rows(pairs: pd.DataFrame) -> None:
    pairs.loc[251, ["seq1", "seq2"]] = pairs.loc[1, ["seq1", "seq2"]]


def repeat_sequences(pairs: pd.DataFrame) -> None:
    pairs.loc[[201, 251], "seq1"] = pairs.loc[[2, 3], "seq1"].to_numpy()


def turn_sequences(pairs: pd.DataFrame) -> None:
    pairs.loc[[201, 251], "seq2"] = [reverse_complement(pairs.loc[row, "seq1"]) for row in (2, 3)]


def change_a_base(pairs: pd.DataFrame) -> None:
    for held_out, trained in zip(range(210, 220), range(10, 20), strict=True):
        sequence = pairs.loc[trained, "seq2"]
        pairs.loc[held_out, "seq1"] = sequence[:3] + ("A" if sequence[3] != "A" else "C") + sequence[4:]
        pairs.loc[held_out, "cluster1"] = pairs.loc[trained, "cluster2"]


def share_families(pairs: pd.DataFrame) -> None:
    pairs["family"] = [f"f{n // 7}" for n in range(PAIRS)]


def side_with_one_label(pairs: pd.DataFrame) -> None:
    """Give each of 60 sequences pairs of one label in every split."""
    pairs["seq1"] = [pairs.loc[2 * (n // 2 % 30) + n % 2, "seq1"] for n in range(PAIRS)]


Plant = Callable[[pd.DataFrame], None]
STATES: dict[str, tuple[Plant, str, str | None, dict[str, object]]] = {
    "a pair on the other strand": (repeat_pairs, "repeated_pairs", "val", {}),
    "a pair in test": (repeat_pairs, "repeated_pairs", "test", {}),
    "a row that was dropped": (repeat_rows, "repeated_pairs", None, {}),
    "a sequence": (repeat_sequences, "repeated_sequences", "val", {}),
    "a sequence, drawn at random": (side_with_one_label, "repeated_sequences", "test", {"method": "random"}),
    "a strand": (turn_sequences, "reverse_complements", "test", {}),
    "a strand, in a split by sequences": (
        turn_sequences,
        "reverse_complements",
        "test",
        {"method": "grouped", "strands": "forward", "seed": 5},
    ),
    "a near repeat": (change_a_base, "near_repeats", "val", {}),
    "a group": (share_families, "groups", "val", {}),
    "a side's labels": (side_with_one_label, "single_side", "val", {}),
}


def audit() -> dict[tuple[str, str | None], Finding]:
    """Split as params.yaml says, and audit the splits."""
    prepare.run()
    pairs = pd.read_parquet(paths.PAIRS)
    files = {
        name: SplitRows(rows, *(pairs[column].to_numpy()[rows] for column in ("row1", "row2", "label")))
        for name in ("train", "val", "test")
        for rows in [np.flatnonzero(pairs["split"] == name)]
    }
    found = audited(load_params(), files, SequenceFile(paths.SEQUENCES))
    return {(finding.check, finding.split): finding for finding in found}


@pytest.mark.parametrize("state", STATES)
def test_a_finding_is_gone_where_its_advice_is_followed(folder: Folder, state: str) -> None:
    plant, check, split, settings = STATES[state]
    pairs = table()
    plant(pairs)
    Path("data").mkdir()
    pairs.to_csv("data/pairs.csv", index=False)
    folder.set({"split.groups": [], "split.validation": 0.2, "split.test": 0.2})
    folder.set({f"split.{name}": value for name, value in settings.items()})
    if check == "groups":
        folder.set({"evaluate.groups": ["family"]})
    finding = audit()[check, split]
    assert finding.level != "pass"
    advice = {key: yaml.safe_load(value) for key, value in SETTING.findall(finding.remedy)}
    assert advice["split.method"] == "grouped"
    folder.set(advice)
    assert audit()[check, split].level == "pass"
