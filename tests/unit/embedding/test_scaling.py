from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dnapair.embedding.scaling import Scaled, Scaler, Shards, fit, write_scaled
from dnapair.errors import DnapairError

FLOATS = st.floats(-(2.0**99), 2.0**99, width=32)
MATRICES = arrays(np.float32, st.tuples(st.integers(2, 12), st.integers(1, 5)), elements=FLOATS)
MODES = st.sampled_from(["dimension", "global"])


def in_shards(matrix: np.ndarray, rows: int) -> Shards:
    def shards() -> Iterator[tuple[int, np.ndarray]]:
        for first in range(0, len(matrix), rows):
            yield first, matrix[first : first + rows]

    return shards


def fitted(X: np.ndarray, mode: str) -> Scaler:
    scaler = Scaler(X.shape[1], mode)
    scaler.partial_fit(X)
    return scaler


def scale_to(path: Path, matrix: np.ndarray, training: np.ndarray, mode: str, rows: int) -> Scaled:
    shards = in_shards(matrix, rows)
    return write_scaled(fit(shards, matrix.shape[1], training, mode), shards, training, path)


@given(X=MATRICES, mode=MODES)
def test_training_reaches_both_ends_exactly_and_never_more(X: np.ndarray, mode: str) -> None:
    scaled = fitted(X, mode).transform(X)
    assert scaled.dtype == np.float16
    assert np.abs(scaled).max() <= 1
    varies = X.max(axis=0) > X.min(axis=0)
    if mode == "dimension":
        assert (scaled[:, varies].min(axis=0) == -1).all()
        assert (scaled[:, varies].max(axis=0) == 1).all()
        assert (scaled[:, ~varies] == 0).all()
    elif X.max() > X.min():
        assert (scaled.min(), scaled.max()) == (-1, 1)


@given(X=arrays(np.float32, (8, 3), elements=st.floats(-100, 100, width=32)), mode=MODES)
def test_scaling_can_be_undone(X: np.ndarray, mode: str) -> None:
    low, high = (X.min(axis=0), X.max(axis=0)) if mode == "dimension" else (X.min(), X.max())
    undone = (fitted(X, mode).transform(X).astype(float) + 1) / 2 * (high - low) + low
    varies = np.broadcast_to(high > low, X.shape)
    # half of the distance between two numbers of float16 below 1, and what float32 leaves of X
    np.testing.assert_allclose(undone[varies], X[varies], atol=2**-12 * np.max(high - low) / 2 + 2e-5)


@settings(max_examples=30)
@given(X=MATRICES, mode=MODES, rows=st.integers(1, 12), seed=st.integers(0, 99))
def test_shard_by_shard_is_the_same_as_all_at_once(
    tmp_path_factory: pytest.TempPathFactory, X: np.ndarray, mode: str, rows: int, seed: int
) -> None:
    training = np.random.default_rng(seed).random(len(X)) < 0.6
    training[0] = True
    folder = tmp_path_factory.mktemp("scaling")
    one = scale_to(folder / "one.npy", X, training, mode, len(X))
    many = scale_to(folder / "many.npy", X, training, mode, rows)
    assert (folder / "one.npy").read_bytes() == (folder / "many.npy").read_bytes()
    assert (one.clipped, one.clippable) == (many.clipped, many.clippable)
    np.testing.assert_array_equal(one.before[0], many.before[0])
    np.testing.assert_array_equal(one.after[0], many.after[0])
    assert one.before[0].sum() == one.after[0].sum() == X.size
    np.testing.assert_array_equal(
        np.load(folder / "one.npy", mmap_mode="r"), fitted(X[training], mode).transform(X)
    )


@pytest.mark.parametrize("value", [0.0, 3e-45, 1.0, -0.5, 7.0368744e13, -7.0368744e13, 3.4e38])
@pytest.mark.parametrize("neighbours", [0, 1])
def test_values_so_near_that_no_bins_lie_between_are_counted(
    tmp_path: Path, value: float, neighbours: int
) -> None:
    first = np.float32(value)
    second = np.nextafter(first, np.float32(0 if value > 1e38 else np.inf)) if neighbours else first
    scaled = scale_to(
        tmp_path / "scaled.npy", np.array([[first], [second]], np.float32), np.ones(2, bool), "dimension", 1
    )
    assert scaled.before[0].sum() == scaled.after[0].sum() == 2


def test_only_training_rows_are_fitted_and_the_rest_is_clipped_and_counted(tmp_path: Path) -> None:
    X = np.array([[0, 0], [2, 10], [3, 5], [-1, 11]], np.float32)
    scaled = scale_to(tmp_path / "x.npy", X, np.array([True, True, False, False]), "dimension", 3)
    np.testing.assert_array_equal(np.load(tmp_path / "x.npy"), [[-1, -1], [1, 1], [1, 0], [-1, 1]])
    assert (scaled.clipped, scaled.clippable) == (3, 4)


def test_one_range_for_all_dimensions_keeps_their_proportions() -> None:
    scaler = fitted(np.array([[0, 4], [2, 8]], np.float32), "global")
    np.testing.assert_array_equal(
        scaler.transform(np.array([[0, 8], [4, 6]], np.float32)), [[-1, 1], [0, 0.5]]
    )


def test_a_dimension_that_is_constant_in_training_is_zero_and_named() -> None:
    scaler = fitted(np.array([[5, 1], [5, 2]], np.float32), "dimension")
    assert scaler.constant.tolist() == [0]
    np.testing.assert_array_equal(scaler.transform(np.array([[7, 1.5]], np.float32)), [[0, 0]])


def test_values_that_are_not_finite_spoil_no_fit_and_stay_visible() -> None:
    X = np.array([[0, np.nan], [np.inf, 1], [2, 3]], np.float32)
    scaler = fitted(X, "dimension")
    np.testing.assert_array_equal(scaler.transform(X), [[-1, np.nan], [np.nan, -1], [1, 1]])
    assert scaler.count_outside(np.array([[np.inf, 9]], np.float32)) == 1


def test_a_saved_scaler_is_the_same_scaler_and_the_same_bytes(tmp_path: Path) -> None:
    X = np.random.default_rng(0).normal(size=(9, 4)).astype(np.float32)
    for mode in ("dimension", "global"):
        fitted(X, mode).save(tmp_path / "a.safetensors")
        loaded = Scaler.load(tmp_path / "a.safetensors")
        assert loaded.mode == mode
        np.testing.assert_array_equal(loaded.transform(X), fitted(X, mode).transform(X))
        loaded.save(tmp_path / "b.safetensors")
        assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


def test_what_is_no_scaler_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "scaler.safetensors"
    with pytest.raises(DnapairError, match="is missing"):
        Scaler.load(path)
    path.write_bytes(b"no tensors here")
    with pytest.raises(DnapairError, match="is no scaler, or is damaged"):
        Scaler.load(path)


def test_nothing_to_fit_on_is_an_error_that_names_the_setting() -> None:
    X = np.zeros((3, 2), np.float32)
    with pytest.raises(DnapairError, match=r"train split has no pairs.*`split` in params.yaml"):
        fit(in_shards(X, 2), 2, np.zeros(3, bool), "dimension")
    with pytest.raises(DnapairError, match="No value of the embeddings is a finite number"):
        fit(in_shards(X * np.nan, 2), 2, np.ones(3, bool), "dimension")
    with pytest.raises(DnapairError, match=r"scale\.mode is 'row'"):
        Scaler(2, "row")
