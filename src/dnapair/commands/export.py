"""`dnapair export`: the scaled splits in the files that the original scripts read."""

import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from dnapair.errors import DnapairError
from dnapair.stages import paths
from dnapair.storage.files import atomic_file
from dnapair.storage.matrix import Matrix, MatrixFile
from dnapair.storage.numeric_columns import read_table

SPLITS = ("train", "val", "test")
_CHUNK_ROWS = 8192


def run(output: Path) -> None:
    """Write train.npz, val.npz and test.npz with the arrays ``seq1``, ``seq2`` and ``labels``.

    Parameters
    ----------
    output
        Folder for the three files.

    Raises
    ------
    DnapairError
        If the pipeline has not run as far as `scale`.
    """
    if not paths.SCALED.is_file():
        raise DnapairError(f"{paths.SCALED} is missing. Make it first: dvc repro scale")
    paths.check(paths.NORMALIZED)
    matrix = MatrixFile(paths.SCALED)
    for split in SPLITS:
        rows = read_table(paths.split_file(split))
        with atomic_file(output / f"{split}.npz") as temporary:
            _write_npz(
                temporary, matrix, rows["seq1"].to_numpy(), rows["seq2"].to_numpy(), rows["label"].to_numpy()
            )
        print(f"{output / f'{split}.npz'}: {rows.num_rows} pairs of {matrix.shape[1]} dimensions")


def _write_npz(
    path: Path,
    matrix: Matrix,
    rows1: NDArray[np.int64],
    rows2: NDArray[np.int64],
    labels: NDArray[np.int8],
) -> None:
    # np.savez would hold each array whole
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for name, rows in (("seq1", rows1), ("seq2", rows2)):
            shape = (len(rows), matrix.shape[1])
            header = {
                "descr": np.lib.format.dtype_to_descr(np.dtype(np.float32)),
                "fortran_order": False,
                "shape": shape,
            }
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array_header_2_0(member, header)
                for start in tqdm(
                    range(0, len(rows), _CHUNK_ROWS),
                    desc=f"{path.stem} {name}",
                    dynamic_ncols=True,
                    disable=None,
                ):
                    chunk = matrix[rows[start : start + _CHUNK_ROWS]]
                    member.write(chunk.astype(np.float32).tobytes())
        with archive.open("labels.npy", "w") as member:
            np.lib.format.write_array(member, labels, allow_pickle=False)
