"""Min-max scaling to [-1, 1], fitted on the training sequences alone, in constant memory."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from dnapair.errors import DnapairError
from dnapair.storage.matrix import write_header

Histogram = tuple[np.ndarray, np.ndarray]
"""Counts, shape=(bins,), and edges, shape=(bins + 1,), as numpy.histogram gives them."""

MODES = ("dimension", "global")
_BINS = 120

Shards = Callable[[], Iterable[tuple[int, np.ndarray]]]
"""Gives the shards anew at each call: number of the first row, and values of shape=(n, d), float32."""


class Scaler:
    """Maps the values seen in training onto [-1, 1] and clips all others.

    Values that are not finite take no part in the fit and come out as NaN, so that checks find them.

    Parameters
    ----------
    dimensions
        Length of an embedding.
    mode
        ``"dimension"``: a range for each dimension; ``"global"``: one range for all.

    Attributes
    ----------
    minimum, maximum : np.ndarray, shape=(dimensions,)
        Range of each dimension in training, float32, whatever the mode.
    """

    def __init__(self, dimensions: int, mode: str) -> None:
        if mode not in MODES:
            raise DnapairError(f"scale.mode is {mode!r}, but must be one of: {', '.join(MODES)}.")
        self.mode = mode
        self.minimum = np.full(dimensions, np.inf, np.float32)
        self.maximum = np.full(dimensions, -np.inf, np.float32)

    def partial_fit(self, X: np.ndarray) -> None:
        """Widen the range to hold these rows.

        Parameters
        ----------
        X : np.ndarray, shape=(n, dimensions)
            float32 embeddings of training sequences; n may be 0.
        """
        finite = np.isfinite(X)
        np.minimum(self.minimum, X.min(axis=0, initial=np.inf, where=finite), out=self.minimum)
        np.maximum(self.maximum, X.max(axis=0, initial=-np.inf, where=finite), out=self.maximum)

    @property
    def constant(self) -> np.ndarray:
        """Numbers of the dimensions with at most one value in training."""
        return np.flatnonzero(~(self.maximum > self.minimum))

    def transform(self, X: np.ndarray) -> np.ndarray:
        """Scale embeddings.

        The smallest and the greatest value seen in training become exactly -1 and 1.

        Parameters
        ----------
        X : np.ndarray, shape=(n, dimensions)
            float32 embeddings.

        Returns
        -------
        np.ndarray, shape=(n, dimensions)
            float16 within [-1, 1]; 0 where training has one value only; NaN where X is not finite.
        """
        clipped: np.ndarray = np.clip(self.scale(X), -1, 1)
        return clipped.astype(np.float16)

    def scale(self, X: np.ndarray) -> np.ndarray:
        """Scale embeddings without clipping: what lies beyond -1 and 1 is outside the range of training.

        Parameters
        ----------
        X : np.ndarray, shape=(n, dimensions)
            Embeddings.

        Returns
        -------
        np.ndarray, shape=(n, dimensions)
            float64; 0 where training has one value only; NaN where X is not finite.
        """
        low, high = self._range()
        varies = high > low
        # in float64 the quotient is exactly 0 and 1 at the ends
        width = np.where(varies, high - low, 1)
        with np.errstate(invalid="ignore"):
            share = np.where(varies, (X - low) / width, 0.5)
        share[~np.isfinite(X)] = np.nan
        return 2 * share - 1

    def count_outside(self, X: np.ndarray) -> int:
        """Count the finite values outside the range seen in training, which ``transform`` clips."""
        low, high = self._range()
        return int(np.count_nonzero(np.isfinite(X) & (np.clip(X, low, high) != X)))

    def save(self, path: Path) -> None:
        """Write the range of each dimension and the mode as safetensors."""
        path.write_bytes(save({"minimum": self.minimum, "maximum": self.maximum}, {"mode": self.mode}))

    @classmethod
    def load(cls, path: Path) -> "Scaler":
        """Read what :meth:`save` wrote.

        Raises
        ------
        DnapairError
            If the file is missing or is no scaler.
        """
        try:
            with safe_open(path, framework="numpy") as file:
                minimum, maximum = file.get_tensor("minimum"), file.get_tensor("maximum")
                mode = file.metadata()["mode"]
            if any(row.dtype != np.float32 or row.shape != (minimum.size,) for row in (minimum, maximum)):
                raise TypeError("not two rows of float32")
        except FileNotFoundError:
            raise DnapairError(f"{path} is missing. Make it first: dvc repro scale") from None
        except (SafetensorError, KeyError, TypeError):
            raise DnapairError(
                f"{path} is no scaler, or is damaged. Make it again: dvc repro --force --single-item scale"
            ) from None
        scaler = cls(minimum.size, mode)
        scaler.minimum, scaler.maximum = minimum, maximum
        return scaler

    def _range(self) -> tuple[np.ndarray, np.ndarray]:
        low, high = self.minimum.astype(np.float64), self.maximum.astype(np.float64)
        return (low, high) if self.mode == "dimension" else (low.min(), high.max())


class Fit(NamedTuple):
    """A fitted scaler and the range of all finite values, not only the training sequences'."""

    scaler: Scaler
    low: float
    high: float


class Scaled(NamedTuple):
    """What scaling did.

    Attributes
    ----------
    clipped : int
        Values of rows without a part in training that lay outside the training range.
    clippable : int
        All values of those rows.
    before, after : Histogram
        Of all finite values.
    """

    clipped: int
    clippable: int
    before: Histogram
    after: Histogram


def fit(shards: Shards, dimensions: int, training: np.ndarray, mode: str) -> Fit:
    """Fit a scaler shard by shard.

    Parameters
    ----------
    shards
        The embeddings.
    dimensions
        Length of an embedding.
    training : np.ndarray, shape=(rows,)
        True for the rows that training pairs use.
    mode
        See :class:`Scaler`.

    Returns
    -------
    Fit
        The scaler and the range of all values.

    Raises
    ------
    DnapairError
        If no row is used in training, or no value is finite.
    """
    if not training.any():
        raise DnapairError(
            "The train split has no pairs, so there is nothing to fit the scaling on. "
            "See `split` in params.yaml."
        )
    scaler, everything = Scaler(dimensions, mode), Scaler(dimensions, mode)
    for first, values in shards():
        scaler.partial_fit(values[training[first : first + len(values)]])
        everything.partial_fit(values)
    if not np.isfinite(everything.minimum).any():
        raise DnapairError(
            "No value of the embeddings is a finite number: the encoder is broken, or overflowed in half "
            "precision. Try another encoder.source in params.yaml."
        )
    return Fit(scaler, float(everything.minimum.min()), float(everything.maximum.max()))


def write_scaled(fitted: Fit, shards: Shards, training: np.ndarray, path: Path) -> Scaled:
    """Scale shard by shard into one .npy file of float16, C order.

    Parameters
    ----------
    fitted
        What :func:`fit` returned for the same shards.
    shards, training
        As for :func:`fit`.
    path
        The .npy file.

    Returns
    -------
    Scaled
        Counts.
    """
    scaler = fitted.scaler
    edges_before, edges_after = _edges(fitted.low, fitted.high), _edges(-1, 1)
    before, after = np.zeros((2, _BINS), np.int64)
    clipped = clippable = 0
    with path.open("wb") as file:
        write_header(file, (training.size, scaler.minimum.size), np.float16)
        for first, values in shards():
            scaled = scaler.transform(values)
            # written, not mapped: a full disk is an error that can be told, not a crash
            file.write(scaled.tobytes())
            unseen = values[~training[first : first + len(values)]]
            clipped += scaler.count_outside(unseen)
            clippable += unseen.size
            before += _count(values, edges_before)
            after += _count(scaled, edges_after)
    return Scaled(clipped, clippable, (before, edges_before), (after, edges_after))


def _edges(low: float, high: float) -> np.ndarray:
    """Bins from low to high; wider where values are one and the same, or too near for bins between them."""
    least = 2 * _BINS * float(np.spacing(max(abs(low), abs(high))))
    return np.linspace(low, max(high, low + (least if high > low else max(least, 1.0))), _BINS + 1)


def _count(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Count finite values into bins of one width."""
    counts: np.ndarray = np.histogram(values.astype(np.float64), edges.size - 1, (edges[0], edges[-1]))[0]
    return counts
