"""The stage `interact` on small data: its rows, their layout, and what an interrupted run leaves."""

import numpy as np
import pyarrow.parquet as pq
import pytest

from dnapair.errors import DnapairError
from dnapair.interactions import store as interaction_store
from dnapair.interactions.layout import Layout
from dnapair.interactions.rows import describe_pairs
from dnapair.interactions.store import InteractionStore
from dnapair.stages import interact, paths
from tests.unit.stages.conftest import Folder

# MLflow uses what SQLAlchemy is about to drop
pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")
PAIRS, GUIDES, TARGETS = 130, 40, 70
SHARD = 16
RNG = np.random.default_rng(0)
SPLIT = RNG.permutation(np.repeat(["train", "val", "test"], [80, 25, 25])).astype(object)
# guides of 20 to 24 bases first, targets of 40 to 60 behind them
SEQUENCES = [
    "".join(RNG.choice(list("ACGTN"), size, p=[0.24] * 4 + [0.04]))
    for size in [*RNG.integers(20, 25, GUIDES), *RNG.integers(40, 61, TARGETS)]
]
ROWS1, ROWS2 = RNG.integers(0, GUIDES, PAIRS), RNG.integers(GUIDES, GUIDES + TARGETS, PAIRS)


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interaction_store, "SHARD_PAIRS", SHARD)


def values() -> np.ndarray:
    """Rows of the data's pairs."""
    return rows()[:PAIRS]


def rows() -> np.ndarray:
    return np.concatenate([part for _, part in InteractionStore.open(paths.INTERACTIONS).shards()])


def layout() -> Layout:
    return InteractionStore.open(paths.INTERACTIONS).layout


def contents() -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in paths.INTERACTIONS.iterdir()}


def test_rows_are_those_of_each_pair_in_the_order_of_the_pairs(folder: Folder) -> None:
    folder.write(SEQUENCES, ROWS1, ROWS2, SPLIT)
    interact.run()
    store = InteractionStore.open(paths.INTERACTIONS)
    training = SPLIT == "train"
    widest = [max(len(SEQUENCES[row]) for row in rows[training]) for rows in (ROWS1, ROWS2)]
    assert store.layout == Layout(*widest, aligned=False, symmetric=False, wobble=False, duplex=True)
    assert (store.pairs, store.dimensions) == (PAIRS, store.layout.width)
    assert [first for first, _ in store.shards()] == list(range(0, store.rows, SHARD))
    expected = describe_pairs(SEQUENCES, ROWS1, ROWS2, store.layout)
    np.testing.assert_array_equal(values(), expected.astype(np.float16))
    # each by itself: another order of the pairs has the same rows in that order
    order = RNG.permutation(PAIRS)
    folder.write(SEQUENCES, ROWS1[order], ROWS2[order], SPLIT[order])
    interact.run()
    np.testing.assert_array_equal(values(), expected.astype(np.float16)[order])


def test_the_layout_is_that_of_the_train_pairs_alone(folder: Folder) -> None:
    longer = [*SEQUENCES, "ACGT" * 50]
    rows2 = ROWS2.copy()
    (held, *_), (trained, *_) = np.flatnonzero(SPLIT == "test"), np.flatnonzero(SPLIT == "train")
    rows2[held] = len(SEQUENCES)
    folder.write(longer, ROWS1, rows2, SPLIT)
    folder.set({"interactions.bins": 100})
    interact.run()
    assert layout().bins2 <= 60
    # a train pair of equal lengths adds agreement at the same offset, and one width to both sides
    rows2[trained] = ROWS1[trained]
    folder.write(longer, ROWS1, rows2, SPLIT)
    interact.run()
    assert layout().aligned
    assert layout().bins1 == layout().bins2 > 24
    rows2[trained] = len(SEQUENCES)
    folder.write(longer, ROWS1, rows2, SPLIT)
    interact.run()
    assert not layout().aligned
    assert (layout().bins1, layout().bins2) == (
        max(len(SEQUENCES[row]) for row in ROWS1[SPLIT == "train"]),
        100,
    )


def test_whether_the_order_of_a_pair_matters_is_told_by_the_data_or_the_settings(folder: Folder) -> None:
    found = {}
    any_two = RNG.integers(0, len(SEQUENCES), (2, PAIRS))
    for kind, (rows1, rows2) in (("two kinds", (ROWS1, ROWS2)), ("one kind", any_two)):
        folder.write(SEQUENCES, rows1, rows2, SPLIT)
        for symmetric in ("auto", True, False):
            folder.set({"network.symmetric": symmetric})
            interact.run()
            found[kind, symmetric] = layout().symmetric
    assert found == {
        ("two kinds", "auto"): False,
        ("two kinds", True): True,
        ("two kinds", False): False,
        ("one kind", "auto"): True,
        ("one kind", True): True,
        ("one kind", False): False,
    }


def test_pairs_turned_around_have_the_same_rows_where_their_order_does_not_matter(folder: Folder) -> None:
    found = {}
    for symmetric in (True, False):
        folder.set({"network.symmetric": symmetric})
        for turned, sides in ((False, (ROWS1, ROWS2)), (True, (ROWS2, ROWS1))):
            folder.write(SEQUENCES, *sides, SPLIT)
            interact.run()
            found[symmetric, turned] = values()
    np.testing.assert_array_equal(found[True, False], found[True, True])
    assert found[False, False].shape == found[False, True].shape
    assert not np.array_equal(found[False, False], found[False, True])


def test_pairs_are_drawn_of_train_pairs_where_the_order_is_kept_or_where_asked_for(folder: Folder) -> None:
    folder.write(SEQUENCES, ROWS1, ROWS2, SPLIT)
    training, related = SPLIT == "train", np.arange(PAIRS) % 2 == 1
    found = {}
    for symmetric in (True, False):
        for asked in ("auto", 0, 2, 3.5):
            folder.set({"network.symmetric": symmetric, "train.random_negatives": asked})
            interact.run()
            store = InteractionStore.open(paths.INTERACTIONS)
            drawn = store.negatives()
            found[symmetric, asked] = len(drawn)
            assert store.rows == PAIRS + len(drawn)
            assert set(drawn[:, 0]) <= set(ROWS1[training & related])
            assert set(drawn[:, 1]) <= set(ROWS2[training & related])
            expected = describe_pairs(SEQUENCES, *drawn.T, store.layout)
            np.testing.assert_array_equal(rows()[PAIRS:], expected.astype(np.float16))
    assert found[True, "auto"] == found[True, 0] == found[False, 0] == 0
    assert 0 < found[False, "auto"] == found[False, 2] == found[True, 2] < found[False, 3.5]
    # what the other splits hold changes nothing of it
    folder.set({"network.symmetric": False})
    drawn = store.negatives()
    folder.write(SEQUENCES, ROWS1, np.where(training, ROWS2, ROWS2[::-1]), SPLIT)
    interact.run()
    np.testing.assert_array_equal(InteractionStore.open(paths.INTERACTIONS).negatives(), drawn)


def test_other_pairs_in_the_place_of_those_drawn_are_refused_and_drawn_anew(folder: Folder) -> None:
    folder.write(SEQUENCES, ROWS1, ROWS2, SPLIT)
    interact.run()
    undisturbed = contents()
    path = paths.INTERACTIONS / "negatives.parquet"
    table = pq.read_table(path)
    for changed in (table.slice(1), table.append_column("row3", table["row1"]).drop_columns(["row1"])):
        pq.write_table(changed, path)
        with pytest.raises(
            DnapairError, match=r"negatives\.parquet (holds other pairs|is damaged).* dvc repro"
        ):
            InteractionStore.open(paths.INTERACTIONS).negatives()
        interact.run()
        assert contents() == undisturbed


def test_an_interrupted_run_goes_on_where_it_was_and_ends_with_the_same_bytes(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.write(SEQUENCES, ROWS1, ROWS2, SPLIT)
    interact.run()
    undisturbed = contents()
    made_rows = len(rows())
    # the manifest, and what was drawn
    assert len(undisturbed) == -(-made_rows // SHARD) + 2
    for path in paths.INTERACTIONS.iterdir():
        path.unlink()
    save, saved = np.save, []

    def interrupted(*given: object, **named: object) -> None:
        if len(saved) == 3:
            raise KeyboardInterrupt
        saved.append(save(*given, **named))

    with monkeypatch.context() as patched:
        patched.setattr(np, "save", interrupted)
        with pytest.raises(KeyboardInterrupt):
            interact.run()
    kept = {path: path.stat().st_ino for path in paths.INTERACTIONS.glob("shard-*.npy")}
    assert len(kept) == 3
    assert not (paths.INTERACTIONS / "manifest.json").exists()
    made = []

    def counted(*given: object) -> np.ndarray:
        rows = describe_pairs(*given)
        made.append(len(rows))
        return rows

    monkeypatch.setattr(interact, "describe_pairs", counted)
    interact.run()
    assert contents() == undisturbed
    assert {path: path.stat().st_ino for path in kept} == kept
    assert sum(made) == made_rows - 3 * SHARD
    # and where all is there, nothing is made
    made.clear()
    interact.run()
    assert contents() == undisturbed
    assert made == []


def test_rows_of_other_pairs_sequences_or_settings_are_not_kept(folder: Folder) -> None:
    folder.write(SEQUENCES, ROWS1, ROWS2, SPLIT)
    interact.run()
    first = contents()
    other = [sequence[::-1] for sequence in SEQUENCES]
    for sequences, rows2, bins in ((other, ROWS2, 64), (SEQUENCES, ROWS2[::-1], 64), (SEQUENCES, ROWS2, 7)):
        folder.write(sequences, ROWS1, rows2, SPLIT)
        folder.set({"interactions.bins": bins})
        interact.run()
        expected = describe_pairs(sequences, ROWS1, rows2, layout())
        np.testing.assert_array_equal(values(), expected.astype(np.float16))
    folder.write(SEQUENCES, ROWS1, ROWS2, SPLIT)
    folder.set({"interactions.bins": 64})
    interact.run()
    assert contents() == first


def test_a_changed_data_set_is_refused_before_anything_is_made(folder: Folder) -> None:
    folder.write(SEQUENCES, ROWS1, ROWS2, SPLIT)
    content = bytearray(paths.SEQUENCES.read_bytes())
    content[len(content) // 2] ^= 4
    paths.SEQUENCES.write_bytes(content)
    with pytest.raises(
        DnapairError, match=r"sequences\.parquet is .*dvc repro --force --single-item prepare"
    ):
        interact.run()
    assert not paths.INTERACTIONS.exists()
