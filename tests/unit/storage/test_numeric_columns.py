from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dnapair.storage.numeric_columns import read_numbers


def test_columns_are_read_in_the_order_asked_for_and_with_their_types(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    columns = {"a": rng.integers(0, 9, 100_000), "b": rng.integers(0, 2, 100_000).astype(np.int8)}
    pq.write_table(pa.table(columns), tmp_path / "x.parquet", row_group_size=30_000)
    b, a = read_numbers(tmp_path / "x.parquet", ["b", "a"])
    assert (a.dtype, b.dtype) == (np.int64, np.int8)
    np.testing.assert_array_equal(a, columns["a"])
    np.testing.assert_array_equal(b, columns["b"])


def test_no_rows_are_empty_arrays(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": np.empty(0, np.int64)}), tmp_path / "x.parquet")
    assert read_numbers(tmp_path / "x.parquet", ["a"])[0].shape == (0,)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        read_numbers(tmp_path / "x.parquet", ["a"])
    assert caught.value.filename == str(tmp_path / "x.parquet")
