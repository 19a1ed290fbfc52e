import json
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import grimp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnapair.embedding.store import _CODE, EmbeddingStore, write_store
from dnapair.errors import DnapairError
from dnapair.storage.shards import Shard, Values
from tests.waiting import PATIENCE

ROWS, DIMENSIONS, SHARD_ROWS = 10, 4, 3
VALUES = np.arange(ROWS * DIMENSIONS, dtype=np.float32).reshape(ROWS, DIMENSIONS)


class Engine:
    """Gives rows of VALUES in an order of its own, and remembers what it was asked for."""

    def __init__(self, stop_before: int = ROWS, order: Iterable[int] = range(4)) -> None:
        self.asked: list[int] = []
        self.stop_before = stop_before
        self.order = list(order)
        self.closed = False

    def __call__(self, shards: Sequence[Shard]) -> Values:
        try:
            for shard in sorted(shards, key=lambda shard: self.order.index(shard.number)):
                if shard.start >= self.stop_before:
                    raise InterruptedError
                self.asked.append(shard.start)
                yield shard.number, VALUES[shard.start : shard.stop]
        finally:
            self.closed = True


def cut(values: np.ndarray) -> Callable[[Sequence[Shard]], Values]:
    return lambda shards: ((shard.number, values[shard.start : shard.stop]) for shard in shards)


def made_by(**other) -> dict:
    return {"encoder": "test", "trained": True, **other}


def fill(folder: Path, engine: Engine | None = None, **other) -> EmbeddingStore:
    return write_store(folder, made_by(**other), ROWS, SHARD_ROWS, engine or Engine())


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
        fill(folder, Engine(stop_before=6))
    engine = Engine()
    np.testing.assert_array_equal(whole(fill(folder, engine)), VALUES)
    assert engine.asked == [6, 9]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@given(order=st.permutations(range(4)))
def test_store_is_the_same_in_whatever_order_its_shards_arrive(order: list[int]):
    with TemporaryDirectory() as folder:
        in_order, other = Path(folder, "in_order"), Path(folder, "other")
        np.testing.assert_array_equal(whole(fill(other, Engine(order=order))), VALUES)
        fill(in_order)
        assert contents(other) == contents(in_order)


@given(order=st.permutations(range(4)), arrived=st.integers(min_value=0, max_value=4))
def test_store_stopped_after_some_shards_in_any_order_asks_for_the_others(order: list[int], arrived: int):
    def produce(shards: Sequence[Shard]) -> Values:
        yield from Engine(order=order)([shards[number] for number in order[:arrived]])
        raise InterruptedError

    with TemporaryDirectory() as name:
        folder = Path(name, "embeddings")
        with pytest.raises(InterruptedError):
            write_store(folder, made_by(), ROWS, SHARD_ROWS, produce)
        engine = Engine()
        np.testing.assert_array_equal(whole(fill(folder, engine)), VALUES)
        assert engine.asked == [SHARD_ROWS * number for number in sorted(order[arrived:])]


def test_engine_that_gives_a_shard_twice_or_not_at_all_makes_no_store(folder: Path):
    def twice(shards: Sequence[Shard]) -> Values:
        yield from Engine()([shards[0], shards[0]])

    def short(shards: Sequence[Shard]) -> Values:
        yield from Engine()(shards[:-1])

    with pytest.raises(KeyError):
        write_store(folder, made_by(), ROWS, SHARD_ROWS, twice)
    with pytest.raises(RuntimeError, match="1 shards were never made, such as 3"):
        write_store(folder, made_by(), ROWS, SHARD_ROWS, short)
    assert not (folder / "manifest.json").exists()


def test_engine_is_closed_when_a_shard_cannot_be_written(folder: Path, monkeypatch: pytest.MonkeyPatch):
    def full(*_: object, **__: object) -> None:
        raise OSError("No space left on device")

    engine = Engine()
    monkeypatch.setattr(np, "save", full)
    with pytest.raises(OSError, match="No space left"):
        fill(folder, engine)
    assert engine.closed


def test_finished_store_is_not_made_again(folder: Path):
    fill(folder)
    before = contents(folder)
    engine = Engine()
    fill(folder, engine)
    assert engine.asked == []
    assert contents(folder) == before


def test_shards_of_other_settings_are_not_kept(folder: Path):
    fill(folder, pooling="mean")
    engine = Engine()
    fill(folder, engine, pooling="cls")
    assert engine.asked == [0, 3, 6, 9]


@pytest.mark.parametrize("damage", [lambda b: b[:-5], lambda b: b[:-1] + bytes([b[-1] ^ 1]), lambda b: b""])
def test_damaged_shard_is_refused_by_readers_and_mended_by_the_writer(folder: Path, damage):
    store = fill(folder)
    shard = folder / "shard-00001.npy"
    shard.write_bytes(damage(shard.read_bytes()))
    with pytest.raises(DnapairError, match=r"shard-00001\.npy is truncated or changed.*dvc repro"):
        whole(store)
    engine = Engine()
    np.testing.assert_array_equal(whole(fill(folder, engine)), VALUES)
    assert engine.asked == [3]


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
    def produce(shards: Sequence[Shard]) -> Values:
        ready.set()
        release.wait(PATIENCE)
        yield from Engine()(shards)

    write_store(folder, made_by(), ROWS, SHARD_ROWS, produce)


def test_second_writer_is_refused_and_told_who_writes(folder: Path):
    context = multiprocessing.get_context("spawn")
    ready, release = context.Event(), context.Event()
    other = context.Process(target=_hold, args=(folder, ready, release))
    other.start()
    try:
        assert ready.wait(PATIENCE)
        with pytest.raises(DnapairError, match=f"Process {other.pid} is writing"):
            fill(folder)
    finally:
        release.set()
        other.join()
    np.testing.assert_array_equal(whole(EmbeddingStore.open(folder)), VALUES)


def _die(folder: Path) -> None:
    def produce(shards: Sequence[Shard]) -> Values:
        yield from Engine()(shards[:2])
        os.kill(os.getpid(), signal.SIGKILL)

    write_store(folder, made_by(), ROWS, SHARD_ROWS, produce)


def test_killed_writer_loses_no_finished_shard_and_no_lock(folder: Path):
    process = multiprocessing.get_context("spawn").Process(target=_die, args=(folder,))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    # as if the kill had come in the middle of a line
    journal = folder / "journal.jsonl"
    journal.write_text(journal.read_text() + '{"file": "shard-000')
    engine = Engine()
    np.testing.assert_array_equal(whole(fill(folder, engine)), VALUES)
    assert engine.asked == [6, 9]


def test_manifest_says_all_that_made_the_values(folder: Path):
    fill(folder, k=6, strand="both")
    content = json.loads((folder / "manifest.json").read_text())
    assert {"encoder", "k", "strand", "shard_rows", "code_sha256"} <= content["made_by"].keys()


def test_the_code_that_is_hashed_is_all_that_the_embedder_computes_with():
    imports = grimp.build_graph("dnapair", cache_dir=None)
    used = imports.find_upstream_modules("dnapair.embedding.embedder") | {
        "dnapair.embedding.embedder",
        "dnapair.embedding.rounding",
    }
    names = {name.removeprefix("dnapair.embedding.") for name in used}
    assert {f"{name}.py" for name in names if "." not in name and name != "dnapair"} == set(_CODE)


def test_the_window_is_told_and_shards_are_kept_when_it_was_not(folder: Path):
    with pytest.raises(DnapairError, match="written anew: dvc repro --force --single-item embed"):
        fill(folder, k=6).tokens()
    engine = Engine()
    store = write_store(folder, made_by(k=6), ROWS, SHARD_ROWS, engine, window=510)
    assert store.tokens() == EmbeddingStore.open(folder).tokens() == (6, 510)
    assert engine.asked == []


def test_values_are_kept_as_float16_and_read_as_float32(folder: Path):
    values = np.random.default_rng(0).normal(size=(ROWS, DIMENSIONS)).astype(np.float32)
    store = write_store(folder, made_by(), ROWS, SHARD_ROWS, cut(values))
    assert np.load(folder / "shard-00000.npy").dtype == np.float16
    assert store.manifest["dtype"] == "float16"
    assert whole(store).dtype == np.float32
    np.testing.assert_array_equal(whole(store), values.astype(np.float16))


def test_a_value_beyond_float16_is_refused_with_its_sequence(folder: Path):
    values = VALUES.copy()
    values[4, 2] = -65520
    with pytest.raises(DnapairError, match=r"shard-00001\.npy, sequence 2 of .*dimension 2 .* is -65520"):
        write_store(folder, made_by(), ROWS, SHARD_ROWS, cut(values))
    assert not (folder / "shard-00001.npy").exists()


def test_values_that_are_not_finite_are_left_to_the_checks(folder: Path):
    values = VALUES.copy()
    values[0] = [np.inf, -np.inf, np.nan, 65504]
    store = write_store(folder, made_by(), ROWS, SHARD_ROWS, cut(values))
    np.testing.assert_array_equal(whole(store), values)
