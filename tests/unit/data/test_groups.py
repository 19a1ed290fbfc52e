from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dnapair.data.groups import group_columns, read_groups
from dnapair.errors import DnapairError

COLUMNS = ["row1", "row2", "label", "split", "genome1", "genome2"]


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    table = {
        "row1": [0, 2, 0, 4],
        "row2": [1, 3, 3, 0],
        "genome1": ["a", "b", "a", "c"],
        "genome2": ["b", "b", "d", "a"],
        "gap": ["x", " ", "", "y"],
    }
    pq.write_table(pa.table(table), tmp_path / "pairs.parquet", row_group_size=2)
    return tmp_path / "pairs.parquet"


@pytest.mark.parametrize(
    ("wanted", "split_groups", "expected"),
    [
        (None, ["genome1", "genome2"], ["genome1", "genome2"]),
        (None, ["genome1", "family"], ["seq1", "seq2"]),
        (None, ["seq1"], ["seq1"]),
        (None, [], ["seq1", "seq2"]),
        ([], ["genome1"], ["seq1", "seq2"]),
        (["genome2", "seq1"], ["genome1"], ["genome2", "seq1"]),
    ],
)
def test_columns_are_those_wanted_or_those_of_the_split_or_the_sequences(wanted, split_groups, expected):
    assert group_columns(wanted, split_groups, COLUMNS) == expected


def test_a_wanted_column_that_is_not_there_is_an_error():
    with pytest.raises(DnapairError, match=r"evaluate\.groups names 'family', but (.|\n)* genome1, genome2"):
        group_columns(["genome1", "family"], [], COLUMNS)


def test_a_name_is_one_group_in_every_column(pairs: Path):
    groups = read_groups(pairs, ["genome1", "genome2"])
    names = np.array(["a", "b", "b", "b", "a", "d", "c", "a"])
    assert groups.dtype == np.int64
    np.testing.assert_array_equal(groups.ravel()[:, None] == groups.ravel(), names[:, None] == names)


def test_a_sequence_is_one_group_on_either_side_and_never_a_name(pairs: Path):
    groups = read_groups(pairs, ["seq1", "genome1", "seq2"])
    assert groups[0, 0] == groups[2, 0] == groups[3, 2]
    assert groups[1, 2] == groups[2, 2]
    assert np.unique(groups[:, [0, 2]]).size == 5
    assert not np.intersect1d(groups[:, 1], groups[:, [0, 2]]).size


def test_an_empty_group_is_an_error(pairs: Path):
    with pytest.raises(DnapairError, match=r"2 pair\(s\) have no group in column 'gap'"):
        read_groups(pairs, ["genome1", "gap"])


def test_both_strands_of_a_sequence_are_one_group_where_that_is_said(pairs):
    # sequence 3 is the other strand of 1, and 4 that of 0
    either = np.array([0, 1, 2, 1, 0])
    groups = read_groups(pairs, ["seq1", "genome1", "seq2"], either)
    own = read_groups(pairs, ["seq1", "genome1", "seq2"])
    assert groups[0, 2] == groups[1, 2] == groups[2, 2] == own[0, 2]
    assert groups[3, 0] == groups[3, 2] == groups[0, 0] == own[0, 0]
    assert own[3, 0] != own[0, 0]
    np.testing.assert_array_equal(groups[:, 1], own[:, 1])
