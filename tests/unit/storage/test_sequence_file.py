from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dnapair.storage import sequence_file
from dnapair.storage.sequence_file import SequenceFile, letter_blocks, write_sequences

SEQUENCES = ["ACGT" * n + "A" for n in range(50)]
RECORDS = [(f"s{n}", sequence) for n, sequence in enumerate(SEQUENCES)]


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sequence_file, "GROUP_ROWS", 8)
    monkeypatch.setattr(sequence_file, "GROUP_LETTERS", 700)
    write_sequences(tmp_path / "s.parquet", RECORDS)
    return tmp_path / "s.parquet"


def test_all_is_written_in_row_groups_of_bounded_size(path: Path) -> None:
    file = pq.ParquetFile(path)
    sizes = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
    assert sizes[0] == 8
    assert sizes[-2] < 8
    assert file.read().to_pydict() == {"id": [name for name, _ in RECORDS], "sequence": SEQUENCES}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 60), st.integers(0, 60))
def test_any_range_is_that_of_the_list(path: Path, start: int, stop: int) -> None:
    file = SequenceFile(path)
    assert file.read(start, stop) == file[start:stop] == SEQUENCES[start:stop]


def test_it_is_a_sequence_of_either_column(path: Path) -> None:
    assert list(SequenceFile(path)) == SEQUENCES
    ids = SequenceFile(path, "id")
    assert len(ids) == 50
    assert [ids[0], ids[17], ids[49]] == ["s0", "s17", "s49"]


def test_rows_are_taken_in_the_order_given(path: Path) -> None:
    file = SequenceFile(path)
    rows = [40, 3, 3, 49, 0]
    assert file.take(np.array(rows)) == [SEQUENCES[row] for row in rows]
    assert file.take(np.array([], np.int64)) == []
    with pytest.raises(IndexError):
        file.take(np.array([50]))


def test_no_sequences_are_a_file_without_rows(tmp_path: Path) -> None:
    write_sequences(tmp_path / "s.parquet", [])
    assert list(SequenceFile(tmp_path / "s.parquet")) == []


@given(st.lists(st.text("ACGT", max_size=9), max_size=20), st.integers(1, 40))
def test_blocks_hold_every_sequence_once_and_no_more_letters_than_asked_but_for_the_last(
    sequences: list[str], letters: int
) -> None:
    blocks = list(letter_blocks(sequences, letters))
    assert [sequence for _, block in blocks for sequence in block] == sequences
    assert [first for first, _ in blocks] == [
        sum(len(block) for _, block in blocks[:number]) for number in range(len(blocks))
    ]
    assert all(sum(map(len, block[:-1])) < letters for _, block in blocks)
    assert all(sum(map(len, block)) >= letters for _, block in blocks[:-1])
