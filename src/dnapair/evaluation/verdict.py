"""What an evaluation comes to, in words."""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from dnapair.evaluation.outcome import MAIN, Outcome, Rival
from dnapair.evaluation.resampling import Difference

NAMES = {
    "accuracy": "accuracy",
    "precision": "precision",
    "recall": "recall",
    "f1": "F1",
    "roc_auc": "ROC-AUC",
    "pr_auc": "PR-AUC",
    "mcc": "MCC",
    "log_loss": "log loss",
    "brier": "Brier score",
    "ece": "calibration error (ECE)",
}
"""How people call the metrics."""
Level = Literal["chance", "behind", "ahead", "certain"]


class Verdict(NamedTuple):
    """The report's first words.

    Attributes
    ----------
    level
        ``chance``: no better than a coin. ``behind``: not better than the best baseline. ``ahead``: better
        than every baseline, but not certainly. ``certain``: the 95 % interval says so for each of them.
    headline
        One sentence.
    details
        Sentences with the numbers.
    """

    level: Level
    headline: str
    details: list[str]


def judge(outcome: Outcome, pairs: int, related: int, findings: list[Mapping[str, Any]]) -> Verdict:
    """Say whether the network is better than chance and than its baselines, and what the audit found.

    Parameters
    ----------
    outcome
        From :func:`dnapair.evaluation.outcome.measure`.
    pairs, related
        Test pairs, and how many of them are related.
    findings
        Of the audit, each with ``level``, ``words`` and ``examples``.

    Returns
    -------
    Verdict
        Better means a greater PR-AUC on the same test pairs.
    """
    level = _level(outcome)
    best, others = outcome.best_baseline, len(outcome.baselines)
    headline = {
        "chance": "The network is not better than chance.",
        "behind": f"The network is better than chance, but not than its best baseline, {best}.",
        "ahead": f"The network is ahead of all {others} baselines, but not certainly of {best}.",
        "certain": f"The network is better than all {others} baselines, with 95 % certainty.",
    }[level]
    areas = " and ".join(
        f"{NAMES[name]} {outcome.metrics[name]:.3f} ({spell(outcome.intervals[name])})"
        for name in ("roc_auc", "pr_auc")
    )
    details = [
        f"{areas} on {pairs:,} test pairs, {related / pairs:.1%} of them related. Chance is a ROC-AUC of 0.5 "
        f"and a PR-AUC of {related / pairs:.3f}.",
        _gain(best, outcome.baselines[best]),
        _certain_over(outcome),
        _audit(findings),
    ]
    return Verdict(level, headline, [words for words in details if words])


def _level(outcome: Outcome) -> Level:
    if outcome.intervals["roc_auc"][0] <= 0.5:
        return "chance"
    gains = [rival.gains[MAIN] for rival in outcome.baselines.values()]
    if min(gain.estimate for gain in gains) <= 0:
        return "behind"
    return "certain" if min(gain.low for gain in gains) > 0 else "ahead"


def _gain(name: str, rival: Rival) -> str:
    both = ", ".join(f"{NAMES[metric]} {spell_gain(rival.gains[metric])}" for metric in ("pr_auc", "roc_auc"))
    return (
        f"Against the best baseline, {name} (PR-AUC {rival.metrics[MAIN]:.3f}): {both}; its PR-AUC is the "
        f"greater in {rival.gains[MAIN].certainty:.0%} of the resamples."
    )


def _certain_over(outcome: Outcome) -> str:
    certain = [name for name, rival in outcome.baselines.items() if rival.gains[MAIN].low > 0]
    others = [name for name in outcome.baselines if name not in certain]
    if not others:
        return ""
    return (
        f"The interval of the difference is above 0 against {len(certain)} of {len(outcome.baselines)} "
        f"baselines; not against {', '.join(others)}."
    )


def _audit(findings: list[Mapping[str, Any]]) -> str:
    counted = {level: [one for one in findings if one["level"] == level] for level in ("fail", "warn")}
    if counted["fail"]:
        return "The leakage audit FAILS: " + " ".join(str(one["words"]) for one in counted["fail"])
    if counted["warn"]:
        return "The leakage audit warns: " + " ".join(map(_without_examples, counted["warn"]))
    return f"The leakage audit found nothing in {len(findings)} checks."


def _without_examples(finding: Mapping[str, Any]) -> str:
    """Return a finding's sentence up to its first example, which the audit's own table has."""
    words = str(finding["words"])
    if not finding["examples"]:
        return words
    said, found, _ = words.partition(f": {finding['examples'][0]}")
    return f"{said}." if found else words


def spell(ends: tuple[float, float]) -> str:
    """Write an interval: ``0.912 to 0.930``."""
    return f"{ends[0]:.3f} to {ends[1]:.3f}"


def spell_gain(gain: Difference) -> str:
    """Write a difference with its interval: ``+0.009 (\u22120.014 to +0.033)``."""
    return f"{signed(gain.estimate)} ({signed(gain.low)} to {signed(gain.high)})"


def signed(value: float) -> str:
    """Write a number with its sign, a real minus."""
    text = f"{value:+.3f}"
    return text.replace("-", "\u2212")
