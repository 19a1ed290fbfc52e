from pathlib import Path

import numpy as np
import pytest

from dnapair.errors import DnapairError
from dnapair.storage.matrix import MatrixFile

VALUES = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float16)


@pytest.fixture
def matrix(tmp_path: Path) -> MatrixFile:
    np.save(tmp_path / "x.npy", VALUES)
    return MatrixFile(tmp_path / "x.npy")


def test_rows_are_those_of_the_file(matrix: MatrixFile) -> None:
    assert (matrix.shape, len(matrix), matrix.dtype) == ((20, 3), 20, np.float16)
    for rows in (slice(4, 9), slice(15, 99), slice(7, 7), slice(None)):
        np.testing.assert_array_equal(matrix[rows], VALUES[rows])
    for rows in ([3, 0, 19, 3], [[1, 2], [3, 4]], np.empty(0, int)):
        np.testing.assert_array_equal(matrix[np.array(rows)], VALUES[np.array(rows)])


@pytest.mark.parametrize("row", [-1, 20])
def test_a_row_that_is_not_there_is_an_error(matrix: MatrixFile, row: int) -> None:
    with pytest.raises(IndexError):
        matrix[np.array([0, row])]


def test_a_missing_or_truncated_file_says_how_to_make_it(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    with pytest.raises(
        DnapairError, match=r"x\.npy is missing or truncated.*dvc repro --force --single-item scale"
    ):
        MatrixFile(path)
    np.save(path, VALUES)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DnapairError, match=r"x\.npy is missing or truncated"):
        MatrixFile(path)
