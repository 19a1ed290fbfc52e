import json
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pytest

from dnapair.checks.dimensions import REACHES_ENDS, RULES, end_facts, summarize
from dnapair.checks.expectations import Outcome, Values, check
from dnapair.checks.facts import (
    Fact,
    clipped_fact,
    disjoint_fact,
    interaction_fact,
    row_facts,
    scaler_fact,
    token_facts,
)
from dnapair.checks.findings import Finding
from dnapair.checks.split_rows import SplitRows, mark, negatives_fact, pair_facts
from dnapair.embedding.scaling import Scaler

ROWS, DIMENSIONS, PAIRS, DRAWN, WIDTH = 40, 6, 30, 3, 5


@dataclass
class Data:
    """A scaled data set without faults; each test plants one."""

    matrix: np.ndarray = field(init=False)
    interactions: np.ndarray = field(init=False)
    row1: np.ndarray = field(init=False)
    row2: np.ndarray = field(init=False)
    label: np.ndarray = field(init=False)
    split: np.ndarray = field(init=False)
    files: dict[str, SplitRows] = field(init=False)
    negatives: SplitRows = field(init=False)
    sequences: int = ROWS
    manifest: int = ROWS
    clipped: float = 0.001
    clipped_interactions: float = 0.001
    mode: str = "dimension"

    def __post_init__(self) -> None:
        rng = np.random.default_rng(0)
        self.matrix = rng.uniform(-0.9, 0.9, (ROWS, DIMENSIONS)).astype(np.float32)
        self.matrix[:2] = [[-1], [1]]
        self.interactions = rng.uniform(-0.9, 0.9, (PAIRS + DRAWN, WIDTH)).astype(np.float16)
        self.interactions[:2] = [[-1], [1]]
        self.row1, self.row2 = np.arange(PAIRS), np.arange(PAIRS) + 10
        self.row2[20:] = self.row1[20:]
        self.label = rng.integers(0, 2, PAIRS).astype(np.int8)
        self.split = np.repeat(["train", "val", "test"], 10).astype(object)
        drawn = np.arange(DRAWN)
        self.negatives = SplitRows(PAIRS + drawn, drawn, drawn + 11, np.zeros(DRAWN, np.int8))
        self.files = {
            name: SplitRows(rows, self.row1[rows], self.row2[rows], self.label[rows])
            for name in ("train", "val", "test")
            for rows in [np.flatnonzero(self.split == name)]
        }

    def checked(self, *more: Fact) -> Outcome:
        training = np.zeros(len(self.matrix), bool)
        training[:20] = True
        summary = summarize(self.matrix, training, block_values=DIMENSIONS * 7)
        trained = mark(self.files["train"].row, len(self.interactions))
        met = summarize(self.interactions, trained, block_values=WIDTH * 7)
        matrices = [
            Values("embeddings", summary, [*RULES, *(REACHES_ENDS if self.mode == "dimension" else ())]),
            Values("interactions", met, [*RULES, *REACHES_ENDS]),
        ]
        facts = [
            *row_facts(self.sequences, self.manifest, len(self.matrix)),
            interaction_fact(PAIRS, DRAWN, len(self.interactions)),
            *pair_facts(self.row1, self.row2, self.label, self.split, self.files, len(self.matrix)),
            negatives_fact(self.negatives, self.files["train"], PAIRS),
            clipped_fact("embeddings", self.clipped, 0.01),
            clipped_fact("interactions", self.clipped_interactions, 0.01),
            *(end_facts(summary) if self.mode == "global" else []),
            *more,
        ]
        return check(matrices, facts)


def put(name: str, column: str, place: int, value: int) -> Callable[[Data], None]:
    def plant(data: Data) -> None:
        getattr(data.files[name], column)[place] = value

    return plant


def put_drawn(column: str, value: int) -> Callable[[Data], None]:
    def plant(data: Data) -> None:
        getattr(data.negatives, column)[1] = value

    return plant


def draw_a_train_pair(data: Data) -> None:
    for column in ("seq1", "seq2"):
        getattr(data.negatives, column)[1] = getattr(data.files["train"], column)[3]


def set_matrix(place: object, value: float) -> Callable[[Data], None]:
    def plant(data: Data) -> None:
        data.matrix[place] = value  # type: ignore[index]

    return plant


def set_interactions(place: object, value: float) -> Callable[[Data], None]:
    def plant(data: Data) -> None:
        data.interactions[place] = value  # type: ignore[index]

    return plant


def drop_last_row(data: Data) -> None:
    data.matrix = data.matrix[:-1]


def drop_last_pair(data: Data) -> None:
    data.interactions = data.interactions[:-1]


def too_many_interactions_clipped(data: Data) -> None:
    data.clipped_interactions = 0.02


def wrong_manifest(data: Data) -> None:
    data.manifest = ROWS + 1


def too_much_clipped(data: Data) -> None:
    data.clipped = 0.02


def wide(data: Data) -> None:
    data.mode = "global"
    data.matrix *= np.float32(0.5)


@pytest.mark.parametrize("mode", ["dimension", "global"])
def test_sound_data_passes_every_check_and_the_page_needs_no_network(mode: str) -> None:
    outcome = Data(mode=mode).checked()
    assert outcome.failures == []
    assert all(expectation["success"] for expectation in outcome.expectations)
    assert len({expectation["name"] for expectation in outcome.expectations}) == len(outcome.expectations)
    assert f"All {len(outcome.expectations)} checks passed" in outcome.page
    assert all(expectation["checks"] in outcome.page for expectation in outcome.expectations)
    for word in ("http:", "https:", "<script", "<link", "src=", "@import"):
        assert word not in outcome.page


@pytest.mark.parametrize(
    ("plant", "sentences"),
    [
        (
            set_matrix((30, 2), np.nan),
            [
                "Embeddings: values are not finite (how many, by dimension): 1 of 6 dimensions "
                "(dimension 2: 1)"
            ],
        ),
        (
            set_matrix((30, 2), -np.inf),
            [
                "Embeddings: values are not finite (how many, by dimension): 1 of 6 dimensions "
                "(dimension 2: 1)"
            ],
        ),
        (set_matrix((30, 2), 1.5), ["Embeddings: values are above 1: 1 of 6 dimensions (dimension 2: 1.5)"]),
        (
            set_matrix((30, 4), -1.25),
            ["Embeddings: values are below -1: 1 of 6 dimensions (dimension 4: -1.25)"],
        ),
        (
            set_matrix((slice(None), 3), 0),
            [
                "Embeddings: dimensions have one value only in training, so they tell nothing apart: "
                "1 of 6 dimensions (dimension 3: 0)",
                "Embeddings: dimensions do not reach -1 in training: 1 of 6 dimensions (dimension 3: 0)",
                "Embeddings: dimensions do not reach 1 in training: 1 of 6 dimensions (dimension 3: 0)",
            ],
        ),
        (
            set_matrix((slice(1, 2), slice(None)), 0.95),
            [
                "Embeddings: dimensions do not reach 1 in training: 6 of 6 dimensions (dimension 0: 0.95, "
                "dimension 1: 0.95, dimension 2: 0.95, dimension 3: 0.95, dimension 4: 0.95, ...)"
            ],
        ),
        (wide, ["values in training do not reach -1: -0.5", "values in training do not reach 1: 0.5"]),
        (drop_last_row, ["scaled matrix does not have one row for each of the 40 unique sequences: 39"]),
        (wrong_manifest, ["manifest does not have one row for each of the 40 unique sequences: 41"]),
        (
            put("val", "seq2", 1, ROWS),
            [
                "matrix, which has 40, does not have: 1 (pair 11 in val.parquet)",
                "other sequences than in pairs.parquet: 1 (pair 11 in val.parquet)",
            ],
        ),
        (put("val", "seq1", 1, 0), ["other sequences than in pairs.parquet: 1 (pair 11 in val.parquet)"]),
        (
            put("test", "label", 4, 2),
            [
                "Labels are neither 0 nor 1: 1 (pair 24 in test.parquet)",
                "another label than in pairs.parquet: 1 (pair 24 in test.parquet)",
            ],
        ),
        (
            put("test", "row", 0, PAIRS),
            [
                "pairs.parquet, which has 30, does not have: 1 (pair 30 in test.parquet)",
                "Pairs are in no split file: 1 (pair 20)",
            ],
        ),
        (too_much_clipped, ["More than 1.00% (checks.max_clipped_share in params.yaml) of the embeddings' "]),
        (
            set_interactions((25, 2), np.nan),
            [
                "Interactions: values are not finite (how many, by dimension): 1 of 5 dimensions "
                "(dimension 2: 1)"
            ],
        ),
        (
            set_interactions((25, 2), 1.5),
            ["Interactions: values are above 1: 1 of 5 dimensions (dimension 2: 1.5)"],
        ),
        (
            set_interactions((12, 4), -1.25),
            ["Interactions: values are below -1: 1 of 5 dimensions (dimension 4: -1.25)"],
        ),
        (
            set_interactions((slice(0, 10), 3), 0.5),
            [
                "Interactions: dimensions have one value only in training, so they tell nothing apart: "
                "1 of 5 dimensions (dimension 3: 0)",
                "Interactions: dimensions do not reach -1 in training: 1 of 5 dimensions (dimension 3: 0.5)",
                "Interactions: dimensions do not reach 1 in training: 1 of 5 dimensions (dimension 3: 0.5)",
            ],
        ),
        (
            drop_last_pair,
            ["scaled interactions do not have one row for each of the 30 pairs and of the 3 drawn ones: 32"],
        ),
        *(
            (plant, ["or train pairs too: 1 (pair 31 in negatives.parquet)"])
            for plant in (
                put_drawn("label", 1),
                put_drawn("seq1", 35),
                put_drawn("seq2", 2),
                draw_a_train_pair,
            )
        ),
        (put_drawn("row", 5), ["or train pairs too: 1 (pair 5 in negatives.parquet)"]),
        (
            too_many_interactions_clipped,
            ["More than 1.00% (checks.max_clipped_share in params.yaml) of the interactions' "],
        ),
    ],
)
def test_a_planted_fault_is_told_in_plain_words_and_nothing_else_is(
    plant: Callable[[Data], None], sentences: list[str]
) -> None:
    data = Data()
    plant(data)
    outcome = data.checked()
    assert len(outcome.failures) == len(sentences)
    for failure, sentence in zip(outcome.failures, sentences, strict=True):
        assert sentence in failure
    assert f"{len(sentences)} of {len(outcome.expectations)} checks failed" in outcome.page
    failed = [expectation for expectation in outcome.expectations if not expectation["success"]]
    assert len(failed) == len(sentences)


def test_a_pair_in_two_splits_is_found() -> None:
    data = Data()
    train, val = data.files["train"], data.files["val"]
    data.files["val"] = SplitRows(*(np.append(own, other[3]) for own, other in zip(val, train, strict=True)))
    assert data.checked().failures == [
        "Pairs are in more than one split file, or twice in one: 1 (pair 3).",
        "Pairs are in another split's file than pairs.parquet says: 1 (pair 3 in val.parquet).",
    ]


def test_a_group_or_a_sequence_in_two_splits_is_found_and_its_name_is_no_markup() -> None:
    groups = {"train": np.array(["a", "b", "<i>c"], object), "val": np.array(["d"], object)}
    assert Data().checked(disjoint_fact("group", groups)).failures == []
    groups["test"] = np.array(["<i>c", "<i>c", "e", "a"], object)
    outcome = Data().checked(
        disjoint_fact("group", groups), disjoint_fact("sequence", {"a": np.arange(9), "b": np.arange(2)})
    )
    assert outcome.failures == [
        "Groups are in more than one split: 2 (group <i>c, group a).",
        "Sequences are in more than one split: 2 (sequence 0, sequence 1).",
    ]
    assert "<i>c" not in outcome.page
    assert "&lt;i&gt;c" in outcome.page


def test_the_report_is_the_same_bytes_every_time_and_is_json() -> None:
    data = Data()
    set_matrix((30, 2), 1.5)(data)
    first, second = data.checked(), data.checked()
    assert first == second
    assert json.loads(json.dumps(first.expectations)) == first.expectations


def test_the_summary_counts_every_value_in_blocks_of_any_size() -> None:
    data = Data()
    data.matrix[25] = np.nan
    data.matrix[:, 5] = np.inf
    training = np.arange(ROWS) % 2 == 0
    whole = summarize(data.matrix, training)
    pd.testing.assert_frame_equal(whole, summarize(data.matrix, training, block_values=1))
    assert whole["not finite"].tolist() == [1, 1, 1, 1, 1, ROWS]
    finite = np.delete(data.matrix[:, 0], 25)
    assert (whole["smallest"][0], whole["greatest"][0]) == (finite.min(), finite.max())
    assert whole["greatest in training"][0] == data.matrix[training, 0].max()
    assert whole.loc[5, ["smallest", "range in training"]].isna().all()


@pytest.mark.parametrize("mode", ["dimension", "global"])
def test_a_scaler_fitted_on_everything_is_told_in_these_words(mode: str) -> None:
    values = np.arange(12, dtype=np.float32).reshape(6, 2)
    on_train, on_all = Scaler(2, mode), Scaler(2, mode)
    on_train.partial_fit(values[1:5])
    on_all.partial_fit(values)
    training = (on_train.minimum, on_train.maximum)
    for of in ("embeddings", "interactions"):
        assert Data().checked(scaler_fact(of, (on_train.minimum, on_train.maximum), training)).failures == []
        assert Data().checked(scaler_fact(of, (on_all.minimum, on_all.maximum), training)).failures == [
            f"The scaler of the {of} was not fitted on train alone (again: "
            "dvc repro --force --single-item scale): dimensions with another range: 2 "
            "(dimension 0: 0 to 10, in train 2 to 8, "
            "dimension 1: 1 to 11, in train 3 to 9)."
        ]


def test_too_many_unknown_kmers_and_cut_bases_are_told_with_their_split() -> None:
    assert Data().checked(*token_facts("train", 0.05, 0.05, 0)).failures == []
    assert Data().checked(*token_facts("test", 0.0734, 0.05, 3)).failures == [
        "More than 5.00% (checks.max_unknown_share in params.yaml) of the k-mers of test touch a letter "
        "outside ACGT, which the encoder does not know; data.ambiguous: drop leaves such sequences out: "
        "0.0734 (7.34%).",
        "Bases of test lie in no window, so that the encoder never got them: 3.",
    ]


def test_findings_are_on_the_page_and_only_those_that_fail_are_failures() -> None:
    findings = [
        Finding("groups", "test", level, f"{level} <b>words</b>.", 1, 2, 0.5, ["x"], f"Mend {level}.")
        for level in ("pass", "info", "warn", "fail")
    ]
    data = Data()
    matrices = [Values("embeddings", summarize(data.matrix, np.ones(ROWS, bool)), RULES)]
    facts = [clipped_fact("embeddings", 0, 0.01)]
    outcome = check(matrices, facts, findings)
    assert outcome.failures == ["fail <b>words</b>. Mend fail."]
    assert "1 of 9 checks failed" in outcome.page
    assert "<b>" not in outcome.page
    for level in ("pass", "info", "warn", "fail"):
        assert f"{level} &lt;b&gt;words&lt;/b&gt;." in outcome.page
    assert "Mend warn." in outcome.page
    assert "Mend pass." not in outcome.page
    assert "1 of 9" not in check(matrices, facts, findings[:3]).page
