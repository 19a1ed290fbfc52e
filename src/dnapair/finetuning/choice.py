"""Which encoder the pipeline goes on with: the one that was there, or one that has learnt."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from dnapair.evaluation.resampling import Difference
from dnapair.finetuning.probe import Worth
from dnapair.finetuning.tries import Learnt

CERTAIN = 0.9
"""``auto`` keeps an encoder whose PR-AUC is the greater in at least this share of the resamples."""


class Try(NamedTuple):
    """A way to fine-tune, and what became of it.

    Attributes
    ----------
    name : str
        What reports call the encoder.
    learnt : Learnt
        The encoder and its history.
    worth : Worth or None
        What validation says; None where it came to nothing.
    gain : Difference or None
        Over the encoder as it was.
    eligible : bool
        Whether the pipeline may go on with it; else it is a baseline.
    values : dict
        Settings that it had, by their names in ``finetune``.
    """

    name: str
    learnt: Learnt
    worth: Worth | None
    gain: Difference | None
    eligible: bool
    values: Mapping[str, Any] = MappingProxyType({})

    def to_json(self) -> dict[str, Any]:
        """Return it as the report holds it: without times, which differ from run to run."""
        return {
            "encoder": self.name,
            "eligible": self.eligible,
            "settings": dict(self.values),
            "failure": self.learnt.failure or None,
            "val": describe(self.worth) if self.worth else None,
            "gain": self.gain._asdict() if self.gain else None,
            "history": [
                {key: entry[key] for key in ("phase", "step", "loss", "val_pr_auc")}
                for entry in self.learnt.standing.history
            ],
        }


class Choice(NamedTuple):
    """What is gone on with: a try, or None for the encoder as it was; and why."""

    kept: Try | None
    reason: str


def choose(tries: Sequence[Try], *, asked: bool) -> Choice:
    """Choose by validation alone.

    Parameters
    ----------
    tries
        All that were made.
    asked
        True: the encoder that learnt is wanted, and kept unless it came to nothing; False: only where it is
        better than the one that was there.
    """
    eligible = [one for one in tries if one.eligible]
    failed = [f"{one.name}: {one.learnt.failure}" for one in eligible if one.worth is None]
    best = _best(tries)
    if best is None:
        return Choice(None, " ".join(["Nothing learnt, the encoder stays as it was.", *failed]))
    if best.worth is None or best.gain is None:
        raise ValueError("a try that came to something was measured")
    if best.worth.chance:
        return Choice(
            None,
            f"{best.name} is not better than chance on validation (ROC-AUC {best.worth.roc_auc:.3f}): the "
            "encoder stays as it was.",
        )
    words = (
        f"{best.name}: validation PR-AUC {best.worth.pr_auc:.3f}, {best.gain.estimate:+.3f} "
        f"({best.gain.low:+.3f} to {best.gain.high:+.3f}) against the encoder as it was, the greater in "
        f"{best.gain.certainty:.0%} of the resamples"
    )
    if asked:
        return Choice(best, f"{words}. It was asked for.")
    if best.gain.certainty >= CERTAIN and best.gain.estimate > 0:
        return Choice(best, f"{words}: it is kept.")
    return Choice(None, f"{words}. {CERTAIN:.0%} are asked for: the encoder stays as it was.")


def let_go(tries: Sequence[Try]) -> list[Try]:
    """Return the same tries, without the weights of those that will not be kept."""
    best = _best(tries)
    return [one if one is best else one._replace(learnt=one.learnt._replace(encoder=None)) for one in tries]


def _best(tries: Sequence[Try]) -> Try | None:
    alive = [one for one in tries if one.eligible and one.worth is not None]
    return max(alive, key=lambda one: one.worth.pr_auc if one.worth else 0.0, default=None)


def describe(worth: Worth) -> dict[str, Any]:
    """Return what validation says, as the report holds it."""
    return {"pr_auc": worth.pr_auc, "roc_auc": worth.roc_auc, "better_than_chance": not worth.chance}
