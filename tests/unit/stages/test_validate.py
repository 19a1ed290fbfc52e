"""The stage `validate` on interactions: what is wrong with them is found, named, and stops the pipeline."""

from collections.abc import Callable

import numpy as np
import pytest

from dnapair.embedding.scaling import Scaler
from dnapair.embedding.store import write_store
from dnapair.errors import DnapairError
from dnapair.interactions.layout import Layout
from dnapair.interactions.scaling import InteractionScaling
from dnapair.interactions.store import InteractionStore
from dnapair.stages import interact, paths, scale, validate
from dnapair.storage.files import read_json, write_sums
from tests.unit.stages.conftest import Folder

# MLflow uses what SQLAlchemy is about to drop
pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")
SEQUENCES, PAIRS, DIMENSIONS = 120, 90, 4
RNG = np.random.default_rng(0)
TEXTS = ["".join(RNG.choice(list("ACGT"), size)) for size in RNG.integers(20, 40, SEQUENCES)]
# no sequence is in two splits
ROWS1 = np.concatenate([RNG.integers(0, 60, 50), RNG.integers(60, 90, 20), RNG.integers(90, 120, 20)])
ROWS2 = np.concatenate([RNG.integers(0, 60, 50), RNG.integers(60, 90, 20), RNG.integers(90, 120, 20)])
SPLIT = np.repeat(["train", "val", "test"], [50, 20, 20]).astype(object)
TRAIN = SPLIT == "train"


@pytest.fixture
def scaled(folder: Folder) -> Folder:
    folder.set({"interactions.bins": 8, "checks.max_clipped_share": 0.5})
    folder.write(TEXTS, ROWS1, ROWS2, SPLIT)
    embeddings = np.random.default_rng(1).normal(size=(SEQUENCES, DIMENSIONS)).astype(np.float32)
    made_by = {"encoder": "none", "trained": False, "k": 4}
    write_store(
        paths.EMBEDDINGS, made_by, SEQUENCES, SEQUENCES, lambda _: ((n, embeddings) for n in range(1)), 512
    )
    interact.run()
    scale.run()
    return folder


def change(alter: Callable[[np.ndarray], np.ndarray]) -> None:
    """Alter the scaled interactions, as a broken stage would have written them."""
    matrix = alter(np.load(paths.SCALED_INTERACTIONS))
    np.save(paths.SCALED_INTERACTIONS, matrix)
    write_sums(paths.NORMALIZED)


def put(row: int, column: int, value: float) -> Callable[[np.ndarray], np.ndarray]:
    def alter(matrix: np.ndarray) -> np.ndarray:
        matrix[row, column] = value
        return matrix

    return alter


def failures() -> list[str]:
    """Sentences of the message that stops the pipeline; the report has as many failures."""
    with pytest.raises(DnapairError, match="checks of the scaled data and its splits failed") as stopped:
        validate.run()
    lines = [line[2:] for line in str(stopped.value).splitlines() if line.startswith("  ")]
    report, audit = read_json(paths.VALIDATION_REPORT), read_json(paths.AUDIT_REPORT)
    assert report["success"] is False
    failed = [one for one in report["expectations"] if not one["success"]]
    failed += [one for one in audit["findings"] if one["level"] == "fail"]
    assert len(failed) == len(lines)
    return lines


def test_sound_interactions_pass_and_are_in_the_report(scaled: Folder) -> None:
    validate.run()
    report = read_json(paths.VALIDATION_REPORT)
    assert report["success"]
    names = {one["name"] for one in report["expectations"]}
    assert {
        "rows of the interactions",
        "scaler of the interactions fitted on train",
        "clipped share of the interactions",
        "interactions: none below -1",
        "interactions: none above 1",
        "interactions: finite",
        "interactions: no constant dimension",
        "interactions: training reaches -1",
        "interactions: training reaches 1",
    } <= names
    told = read_json(paths.SCALING_REPORT)["interactions"]
    store, scaling = InteractionStore.open(paths.INTERACTIONS), InteractionScaling.load(paths.NORMALIZED)
    assert told["dimensions"] + told["constant_dimensions"] == store.dimensions
    assert told["dimensions"] == scaling.columns.size == np.load(paths.SCALED_INTERACTIONS).shape[1]
    raw = np.concatenate([values for _, values in store.shards()])
    assert set(np.flatnonzero(np.ptp(raw[TRAIN], axis=0))) == set(scaling.columns)
    outside = scaling.scaler.count_outside(raw[~TRAIN][:, scaling.columns])
    assert (told["clipped_values"], told["clipped_of"]) == (outside, 40 * scaling.columns.size)


@pytest.mark.parametrize(
    ("alter", "column", "sentence"),
    [
        (put(60, 5, 1.5), 5, "Interactions: values are above 1: 1 of {} dimensions (dimension {}: 1.5)."),
        (put(60, 5, -2), 5, "Interactions: values are below -1: 1 of {} dimensions (dimension {}: -2)."),
        (
            put(85, 7, np.nan),
            7,
            "Interactions: values are not finite (how many, by dimension): 1 of {} dimensions "
            "(dimension {}: 1).",
        ),
        (
            lambda matrix: matrix[:-1],
            0,
            "The scaled interactions do not have one row for each of the 90 pairs: 89.",
        ),
    ],
    ids=["above 1", "below -1", "NaN", "a missing row"],
)
def test_a_fault_of_the_scaled_interactions_is_found_and_named(
    scaled: Folder, alter: Callable[[np.ndarray], np.ndarray], column: int, sentence: str
) -> None:
    name = InteractionScaling.load(paths.NORMALIZED).names()[column]
    assert ", forward: alignment at" in name
    width = np.load(paths.SCALED_INTERACTIONS).shape[1]
    change(alter)
    first, *others = failures()
    assert first == sentence.format(width, name)
    # where rows are missing, the splits are not audited
    assert all(other.startswith("The splits were not audited") for other in others)


def test_a_scaler_of_the_interactions_fitted_on_more_than_train_is_found(scaled: Folder) -> None:
    store, scaling = InteractionStore.open(paths.INTERACTIONS), InteractionScaling.load(paths.NORMALIZED)
    raw = np.concatenate([values for _, values in store.shards()])[:, scaling.columns]
    everything = Scaler(scaling.columns.size, "dimension")
    everything.partial_fit(raw)
    wider = np.flatnonzero(
        (everything.minimum < raw[TRAIN].min(axis=0)) | (everything.maximum > raw[TRAIN].max(axis=0))
    )
    assert wider.size
    scaling._replace(scaler=everything).save(paths.NORMALIZED)
    change(lambda _: np.ascontiguousarray(everything.transform(raw)))
    said = [line for line in failures() if "was not fitted on train alone" in line]
    assert len(said) == 1
    assert said[0].startswith(
        "The scaler of the interactions was not fitted on train alone (again: "
        "dvc repro --force --single-item scale): "
        f"dimensions with another range: {wider.size} (dimension {scaling.names()[wider[0]]}: "
    )


def test_too_many_clipped_interactions_are_found(scaled: Folder) -> None:
    scaled.set({"checks.max_clipped_share": 0.0001})
    share = read_json(paths.SCALING_REPORT)["interactions"]["clipped_share"]
    assert share > 0.0001
    (line,) = [line for line in failures() if "the interactions' validation and test values" in line]
    assert line.endswith(f"see reports/scaling.json: {share:.10g} ({share:.2%}).")


def test_interactions_of_other_pairs_are_not_scaled(scaled: Folder) -> None:
    scaled.write(TEXTS, ROWS1[:-1], ROWS2[:-1], SPLIT[:-1])
    with pytest.raises(DnapairError, match=r"has 90 pairs, but .*pairs\.parquet 89: they are from different"):
        scale.run()


def test_a_layout_that_was_exchanged_is_found(scaled: Folder) -> None:
    # of the right width, and not the one that the rows have
    store, scaling = InteractionStore.open(paths.INTERACTIONS), InteractionScaling.load(paths.NORMALIZED)
    columns = np.arange(scaling.columns.size)
    assert not np.array_equal(columns, scaling.columns)
    assert isinstance(store.layout, Layout)
    scaling._replace(columns=columns).save(paths.NORMALIZED)
    write_sums(paths.NORMALIZED)
    (line,) = failures()
    assert line.startswith("The scaler of the interactions was not fitted on train alone")
