import json
import multiprocessing
import os
import signal
from pathlib import Path

import numpy as np
import pytest

from dnapair.embedding.store import EmbeddingStore, write_store
from dnapair.errors import DnapairError

ROWS, DIMENSIONS, SHARD_ROWS = 10, 4, 3
VALUES = np.arange(ROWS * DIMENSIONS, dtype=np.float32).reshape(ROWS, DIMENSIONS)


class Embed:
    """Gives rows of VALUES, and remembers what it was asked for."""

    def __init__(self, stop_before: int = ROWS) -> None:
        self.asked: list[int] = []
        self.stop_before = stop_before

    def __call__(self, start: int, stop: int) -> np.ndarray:
        if start >= self.stop_before:
            raise InterruptedError
        self.asked.append(start)
        return VALUES[start:stop]


def made_by(**other) -> dict:
    return {"encoder": "test", "trained": True, **other}


def fill(folder: Path, embed: Embed | None = None, **other) -> EmbeddingStore:
    return write_store(folder, made_by(**other), ROWS, SHARD_ROWS, embed or Embed())


def whole(store: EmbeddingStore) -> np.ndarray:
    return np.concatenate([values for _, values in store.shards()])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "embeddings"


def test_store_gives_back_what_was_written(folder: Path):
    store = fill(folder)
    np.testing.assert_array_equal(whole(store), VALUES)
    assert [first for first, _ in store.shards()] == [0, 3, 6, 9]
    assert (store.rows, store.dimensions, store.encoder, store.trained) == (ROWS, DIMENSIONS, "test", True)


def test_stopped_store_goes_on_where_it_was(folder: Path):
    with pytest.raises(InterruptedError):
        fill(folder, Embed(stop_before=6))
    embed = Embed()
    np.testing.assert_array_equal(whole(fill(folder, embed)), VALUES)
    assert embed.asked == [6, 9]


def test_finished_store_is_not_made_again(folder: Path):
    fill(folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    embed = Embed()
    fill(folder, embed)
    assert embed.asked == []
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_shards_of_other_settings_are_not_kept(folder: Path):
    fill(folder, pooling="mean")
    embed = Embed()
    fill(folder, embed, pooling="cls")
    assert embed.asked == [0, 3, 6, 9]


@pytest.mark.parametrize("damage", [lambda b: b[:-5], lambda b: b[:-1] + bytes([b[-1] ^ 1]), lambda b: b""])
def test_damaged_shard_is_refused_by_readers_and_mended_by_the_writer(folder: Path, damage):
    store = fill(folder)
    shard = folder / "shard-00001.npy"
    shard.write_bytes(damage(shard.read_bytes()))
    with pytest.raises(DnapairError, match=r"shard-00001\.npy is truncated or changed.*dvc repro"):
        whole(store)
    embed = Embed()
    np.testing.assert_array_equal(whole(fill(folder, embed)), VALUES)
    assert embed.asked == [3]


def test_missing_shard_is_said(folder: Path):
    store = fill(folder)
    (folder / "shard-00002.npy").unlink()
    with pytest.raises(DnapairError, match=r"shard-00002\.npy is missing"):
        whole(store)


def test_pickle_planted_as_a_shard_is_refused(folder: Path):
    store = fill(folder)
    np.save(folder / "shard-00000.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(DnapairError, match="truncated or changed"):
        whole(store)


@pytest.mark.parametrize("text", ["", "{", "{}"])
def test_damaged_manifest_is_said(folder: Path, text: str):
    fill(folder)
    (folder / "manifest.json").write_text(text)
    with pytest.raises(DnapairError, match="damaged"):
        EmbeddingStore.open(folder)


def test_missing_store_says_how_to_make_it(folder: Path):
    with pytest.raises(DnapairError, match="dvc repro embed"):
        EmbeddingStore.open(folder)


def _hold(folder: Path, ready, release) -> None:
    def embed(start: int, stop: int) -> np.ndarray:
        ready.set()
        release.wait(30)
        return VALUES[start:stop]

    write_store(folder, made_by(), ROWS, SHARD_ROWS, embed)


def test_second_writer_is_refused_and_told_who_writes(folder: Path):
    context = multiprocessing.get_context("spawn")
    ready, release = context.Event(), context.Event()
    other = context.Process(target=_hold, args=(folder, ready, release))
    other.start()
    try:
        assert ready.wait(30)
        with pytest.raises(DnapairError, match=f"Process {other.pid} is writing"):
            fill(folder)
    finally:
        release.set()
        other.join()
    np.testing.assert_array_equal(whole(EmbeddingStore.open(folder)), VALUES)


def _die(folder: Path) -> None:
    def embed(start: int, stop: int) -> np.ndarray:
        if start >= 6:
            os.kill(os.getpid(), signal.SIGKILL)
        return VALUES[start:stop]

    write_store(folder, made_by(), ROWS, SHARD_ROWS, embed)


def test_killed_writer_loses_no_finished_shard_and_no_lock(folder: Path):
    process = multiprocessing.get_context("spawn").Process(target=_die, args=(folder,))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    # as if the kill had come in the middle of a line
    journal = folder / "journal.jsonl"
    journal.write_text(journal.read_text() + '{"file": "shard-000')
    embed = Embed()
    np.testing.assert_array_equal(whole(fill(folder, embed)), VALUES)
    assert embed.asked == [6, 9]


def test_manifest_says_all_that_made_the_values(folder: Path):
    fill(folder, k=6, strand="both")
    content = json.loads((folder / "manifest.json").read_text())
    assert {"encoder", "k", "strand", "shard_rows", "code_sha256"} <= content["made_by"].keys()


def test_values_are_kept_as_float16_and_read_as_float32(folder: Path):
    values = np.random.default_rng(0).normal(size=(ROWS, DIMENSIONS)).astype(np.float32)
    store = write_store(folder, made_by(), ROWS, SHARD_ROWS, lambda start, stop: values[start:stop])
    assert np.load(folder / "shard-00000.npy").dtype == np.float16
    assert store.manifest["dtype"] == "float16"
    assert whole(store).dtype == np.float32
    np.testing.assert_array_equal(whole(store), values.astype(np.float16))


def test_a_value_beyond_float16_is_refused_with_its_sequence(folder: Path):
    values = VALUES.copy()
    values[4, 2] = -65520
    with pytest.raises(DnapairError, match=r"shard-00001\.npy, sequence 2 of .*dimension 2 .* is -65520"):
        write_store(folder, made_by(), ROWS, SHARD_ROWS, lambda start, stop: values[start:stop])
    assert not (folder / "shard-00001.npy").exists()


def test_values_that_are_not_finite_are_left_to_the_checks(folder: Path):
    values = VALUES.copy()
    values[0] = [np.inf, -np.inf, np.nan, 65504]
    store = write_store(folder, made_by(), ROWS, SHARD_ROWS, lambda start, stop: values[start:stop])
    np.testing.assert_array_equal(whole(store), values)
