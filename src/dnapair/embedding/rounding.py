"""Embeddings as they are kept: rounded to float16, half the size of float32."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from dnapair.errors import DnapairError

_GREATEST = float(np.finfo(np.float16).max)


def round_to_half(values: NDArray[np.float32], name: Callable[[int], str]) -> NDArray[np.float16]:
    """Round embeddings to float16: what the pipeline stores and what a served model scores are the same.

    Parameters
    ----------
    values : np.ndarray, shape=(n, dimensions)
        Embeddings. Values that are not finite stay so.
    name
        Names the sequence of a row for the message.

    Returns
    -------
    np.ndarray, shape=(n, dimensions)
        float16.

    Raises
    ------
    DnapairError
        If a finite value is beyond float16's range of -65504 to 65504.
    """
    with np.errstate(over="ignore"):
        rounded = values.astype(np.float16)
    beyond = np.isinf(rounded) & np.isfinite(values)
    if beyond.any():
        row, dimension = (int(place) for place in np.argwhere(beyond)[0])
        raise DnapairError(
            f"{name(row)}: dimension {dimension} of its embedding is {values[row, dimension]:.6g}, beyond "
            f"the {_GREATEST:.0f} that float16 holds. Set encoder.normalize to true, or use another encoder "
            "(encoder.source)."
        )
    return rounded
