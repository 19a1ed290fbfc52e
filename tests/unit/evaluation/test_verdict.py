"""Outcome, verdict, page and card, from predictions that are known to be good or worthless."""

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.special import expit, logit

from dnapair.errors import DnapairError
from dnapair.evaluation import metrics
from dnapair.evaluation.outcome import Network, Outcome, Prediction, compare_scores, measure
from dnapair.evaluation.resampling import Units
from dnapair.evaluation.slices import Slice
from dnapair.evaluation.verdict import judge, signed
from dnapair.reporting.page import CARD_LIMIT, FIGURES, Subject, render_page, write_card

N = 600
RNG = np.random.default_rng(0)
LABELS = (RNG.random(N) < 0.4).astype(np.int64)
UNITS = Units(np.arange(N)[:, None], N, connected=True)
NOISE = RNG.random(N)
GOOD = expit(RNG.normal(3 * LABELS - 1.5))
PASSED = [{"level": "pass", "words": "No test pair is in train."}]


def outcome_of(scores: np.ndarray, baselines: dict[str, np.ndarray], temperature: float = 1.0) -> Outcome:
    half = np.arange(N) < N // 2
    member = np.clip(scores + RNG.normal(0, 0.01, N), 0, 1)
    found = measure(
        LABELS,
        {
            "one": Network(Prediction(scores, 0.5, "the network"), temperature, [member]),
            "other": Network(Prediction(np.clip(scores + 0.001, 0, 1), 0.5, "the other"), 1.0, []),
        },
        {name: Prediction(values, 0.5, f"about {name}") for name, values in baselines.items()},
        [Slice("half", "<first>|", half), Slice("half", "second", ~half)],
        UNITS,
        200,
        1,
    )
    one, other = found["one"], found["other"]
    # each is the other's rival, on the same samples
    assert one.other.metrics == other.metrics
    assert one.other.gains["pr_auc"].estimate == -other.other.gains["pr_auc"].estimate
    assert one.slices[0].metrics.keys() == other.slices[0].metrics.keys()
    return one


def verdict_of(scores: np.ndarray, **baselines: np.ndarray):
    return judge(outcome_of(scores, baselines), N, int(LABELS.sum()), PASSED)


def test_worthless_scores_are_not_better_than_chance() -> None:
    verdict = verdict_of(RNG.random(N), noise=NOISE)
    assert verdict.level == "chance"
    assert "not better than chance" in verdict.headline


def test_a_network_behind_a_baseline_is_told_so() -> None:
    verdict = verdict_of(GOOD, better=np.where(RNG.random(N) < 0.3, LABELS, GOOD), noise=NOISE)
    assert verdict.level == "behind"
    assert "not than its best baseline, better" in verdict.headline


def test_a_lead_within_the_noise_is_not_called_certain() -> None:
    near = expit(logit(GOOD) + np.random.default_rng(3).normal(0, 0.15, N))
    verdict = verdict_of(GOOD, near=near, noise=NOISE)
    assert verdict.level == "ahead"
    assert "not certainly of near" in verdict.headline
    assert "above 0 against 1 of 2 baselines; not against near" in verdict.details[2]


def test_a_clear_lead_over_all_is_certain_and_given_with_its_interval() -> None:
    verdict = verdict_of(GOOD, noise=NOISE, weak=expit(RNG.normal(0.5 * LABELS)))
    assert verdict.level == "certain"
    assert "better than all 2 baselines" in verdict.headline
    number = r"\+0\.\d{3}"
    assert re.search(rf"best baseline, weak .*PR-AUC {number} \({number} to {number}\)", verdict.details[1])


def test_what_the_audit_found_is_said() -> None:
    outcome = outcome_of(GOOD, {"noise": NOISE})
    failed = judge(outcome, N, 1, [*PASSED, {"level": "fail", "words": "9 test pairs are in train."}])
    assert "FAILS: 9 test pairs are in train." in failed.details[-1]
    findings = [
        {"level": "warn", "words": "A sequence is in train.", "examples": []},
        {
            "level": "warn",
            "words": "2 pairs have copies: in pair 3 a, in pair 4 b.",
            "examples": ["in pair 3 a"],
        },
    ]
    warned = judge(outcome, N, 1, findings)
    assert warned.details[-1] == ("The leakage audit warns: A sequence is in train. 2 pairs have copies.")
    assert "found nothing in 1 checks" in judge(outcome, N, 1, PASSED).details[-1]


def test_gains_are_the_differences_of_the_metrics_and_scores_may_have_any_range() -> None:
    outcome = outcome_of(GOOD, {"wide": 100 * NOISE - 50})
    wide = outcome.baselines["wide"]
    expected = metrics.evaluate(LABELS, NOISE, 0.505)
    assert wide.metrics["roc_auc"] == pytest.approx(expected["roc_auc"])
    assert wide.metrics["accuracy"] == pytest.approx(expected["accuracy"])
    assert wide.gains["f1"].estimate == pytest.approx(outcome.metrics["f1"] - wide.metrics["f1"])
    assert wide.gains["roc_auc"].low < wide.gains["roc_auc"].estimate < wide.gains["roc_auc"].high


def test_two_scores_are_compared_as_the_network_is_with_a_baseline() -> None:
    gain = compare_scores(LABELS, GOOD, NOISE, UNITS, 200, 1)
    assert gain == pytest.approx(outcome_of(GOOD, {"noise": NOISE}).baselines["noise"].gains["pr_auc"])


def test_what_the_temperature_did_is_measured() -> None:
    outcome = outcome_of(GOOD, {"noise": NOISE}, temperature=3.0)
    # these logits are a third of the true log odds
    assert outcome.uncalibrated["ece"] < outcome.metrics["ece"]
    assert outcome.uncalibrated["log_loss"] == pytest.approx(
        metrics.evaluate(LABELS, expit(3 * logit(GOOD)), 0.5)["log_loss"]
    )


def test_scores_that_are_no_probabilities_are_refused() -> None:
    with pytest.raises(DnapairError, match="no numbers between 0 and 1"):
        outcome_of(np.full(N, np.nan), {"noise": NOISE})


def test_a_minus_is_a_minus() -> None:
    assert (signed(-0.0123), signed(0.5)) == ("\u22120.012", "+0.500")


class Links(HTMLParser):
    """Collects what a page would fetch or run."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.fetched += [value or "" for name, value in attrs if name in {"src", "href"}]


def subject(tmp_path: Path) -> Subject:
    for name in FIGURES:
        Image.new("RGB", (8, 8)).save(tmp_path / f"{name}.png")
    fold = {"roc_auc": 0.91, "pr_auc": 0.8, "accuracy": 0.7, "f1": 0.6}
    counted = {"pairs": 10, "related": 4, "sequences": 12}
    token = {
        "sequences": 12,
        "kmers": 1000,
        "unknown": 25,
        "unknown_share": 0.025,
        "windows": 12,
        "windows_per_sequence_max": 1,
        "cut_bases": 0,
    }
    return Subject(
        "PyTorch, <script>alert(1)</script>",
        "PyTorch",
        "TensorFlow",
        N,
        int(LABELS.sum()),
        "It takes <b>interactions</b>.",
        0.5,
        1.2,
        "600 pairs",
        200,
        {"splits": {"train": counted}},
        [{"level": "warn", "words": "<img src=x onerror=alert(1)> is a column's value.", "examples": []}],
        {"train": token},
        {
            "folds": 1,
            "groups": ["genome1"],
            "dropped_pairs": 7,
            "each": [{"fold": 1, "pairs": 5, "related": 2, **fold}],
            "mean": fold,
            "std": fold,
        },
        {"train": {"epochs": 20}},
        {"weights": "abc123"},
    )


def test_the_page_is_whole_fetches_nothing_and_runs_nothing(tmp_path: Path) -> None:
    about = subject(tmp_path)
    outcome = outcome_of(GOOD, {"noise": NOISE})
    verdict = judge(outcome, N, int(LABELS.sum()), list(about.findings))
    page = render_page(about, outcome, verdict, tmp_path)
    links = Links()
    links.feed(page)
    assert "script" not in links.tags
    assert len(links.fetched) == len(FIGURES)
    assert all(link.startswith("data:image/png;base64,") for link in links.fetched)
    assert "&lt;img src=x" in page
    for words in (verdict.headline, "noise", "2.50 %", "abc123", "epochs: 20", "0.910", 'name="viewport"'):
        assert words in page
    assert page == render_page(about, outcome, verdict, tmp_path)


def test_the_page_says_what_fine_tuning_was_worth_where_it_was_tried(tmp_path: Path) -> None:
    about = subject(tmp_path)
    outcome = outcome_of(GOOD, {"noise": NOISE})
    verdict = judge(outcome, N, int(LABELS.sum()), list(about.findings))
    assert "fine-tuning" not in render_page(about, outcome, verdict, tmp_path)
    learnt = {
        "encoder": "mini, fine-tuned",
        "failure": None,
        "val": {"roc_auc": 0.8, "pr_auc": 0.75, "better_than_chance": True},
        "gain": {"estimate": 0.05, "low": 0.01, "high": 0.09, "certainty": 0.99},
    }
    failed = {
        "encoder": "untrained, fine-tuned",
        "failure": "Training came to nothing.",
        "val": None,
        "gain": None,
    }
    tried = about._replace(
        finetuning={
            "source": "mini",
            "reason": "It is kept.",
            "frozen": {"roc_auc": 0.75, "pr_auc": 0.7, "better_than_chance": True},
            "tries": [learnt, failed],
        }
    )
    page = render_page(tried, outcome, verdict, tmp_path)
    for words in ("mini, as it is", "mini, fine-tuned", "+0.010 to +0.090", "It is kept.", "came to nothing"):
        assert words in page


def test_the_card_says_the_same_within_its_limit_and_its_tables_hold(tmp_path: Path) -> None:
    about = subject(tmp_path)
    outcome = outcome_of(GOOD, {f"baseline {number}": NOISE for number in range(60)})
    verdict = judge(outcome, N, int(LABELS.sum()), list(about.findings))
    card = write_card(about, outcome, verdict)
    assert len(card) < CARD_LIMIT + 100
    assert card.endswith("The rest stands in report.html.\n")
    short = write_card(about, outcome_of(GOOD, {"noise": NOISE}), verdict)
    assert verdict.headline in short
    assert "&lt;first&gt;\\|" in short
    assert "<img" not in short
