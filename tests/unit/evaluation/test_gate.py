import pytest

from dnapair.evaluation.gate import decide
from dnapair.evaluation.resampling import Difference

CLEAR = Difference(0.05, 0.02, 0.08, 1.0)
UNSURE = Difference(0.01, -0.02, 0.04, 0.7)
WORSE = Difference(-0.01, -0.03, 0.01, 0.2)


def test_the_first_model_that_beats_its_baselines_is_let_through_with_the_reason() -> None:
    promoted, reason = decide([], "4-mers", UNSURE, "estimate", None, 0.01)
    assert promoted
    assert "no champion yet" in reason
    assert "+0.010 (\u22120.020 to +0.040) against 4-mers" in reason


@pytest.mark.parametrize(
    ("failures", "gain", "rule", "champion", "words"),
    [
        (
            ["9 test pairs are in train."],
            CLEAR,
            "estimate",
            None,
            "the audit fails: 9 test pairs",
        ),
        ([], WORSE, "estimate", None, "the best baseline is not beaten: "),
        ([], UNSURE, "certain", None, "not beaten with certainty"),
        ([], CLEAR, "estimate", WORSE, "not better than the champion"),
        ([], CLEAR, "estimate", Difference(0.0, 0.0, 0.0, 0.0), "not better than the champion"),
        ([], CLEAR, "estimate", UNSURE, "worse than the champion by more than 0.01"),
    ],
)
def test_each_condition_keeps_a_model_out_by_itself(failures, gain, rule, champion, words) -> None:
    promoted, reason = decide(failures, "4-mers", gain, rule, champion, 0.01)
    assert not promoted
    assert words in reason


def test_a_better_model_within_the_margin_takes_the_place() -> None:
    assert decide([], "4-mers", CLEAR, "certain", UNSURE, 0.02).promoted
    assert decide([], "4-mers", WORSE, "ignore", CLEAR, 0.0).promoted


def test_a_champion_of_other_pairs_is_called_so_whatever_is_decided() -> None:
    others = "data 00a92921, these are 5d41402a"
    promoted, reason = decide([], "4-mers", CLEAR, "estimate", CLEAR, 0.0, others)
    assert promoted
    assert f"against the champion; the champion was trained on other pairs ({others}); PR-AUC" in reason
    promoted, reason = decide([], "4-mers", CLEAR, "estimate", WORSE, 0.0, others)
    assert not promoted
    assert f"trained on other pairs ({others}); for another question, give its models a name" in reason
    promoted, reason = decide([], "4-mers", CLEAR, "estimate", "seq1 of pair 1: letter 'N'", 0.0, others)
    assert not promoted
    assert reason.startswith(
        "the champion can't be compared with: seq1 of pair 1: letter 'N'; the champion was"
    )


def test_every_reason_is_named() -> None:
    _, reason = decide(["A leak."], "4-mers", WORSE, "estimate", WORSE, 0.0)
    assert reason.count(";") == 2
