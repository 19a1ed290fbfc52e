"""Whether a new model takes the champion's place, and the reason in words."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from dnapair.evaluation.resampling import Difference
from dnapair.evaluation.verdict import spell_gain

BaselineRule = Literal["estimate", "certain", "ignore"]


class Decision(NamedTuple):
    """What the gate decided, and why."""

    promoted: bool
    reason: str


def decide(
    failures: Sequence[str],
    best_baseline: str,
    gain: Difference,
    rule: BaselineRule,
    champion: Difference | str | None,
    margin: float,
    others: str = "",
) -> Decision:
    """Let a model through, or name everything that keeps it out.

    Parameters
    ----------
    failures
        What the leakage audit found at level ``fail``, a sentence each.
    best_baseline, gain
        The best baseline, and by how much the model's PR-AUC on the test pairs is greater.
    rule
        ``estimate``: the gain must be above 0. ``certain``: its whole interval. ``ignore``: neither.
    champion
        By how much the model's PR-AUC on the validation pairs is greater than the champion's; why it can't
        score them; None where there is none.
    margin
        How far below 0 the lower end of that interval may be; the difference itself must be above 0.
    others
        Which pairs the champion was trained on, in words, where they are not the model's.

    Returns
    -------
    Decision
        With a reason either way.
    """
    against = f"PR-AUC {spell_gain(gain)} against {best_baseline}"
    refused = [f"the audit fails: {words}" for words in failures]
    if rule != "ignore" and gain.estimate <= 0:
        refused.append(f"the best baseline is not beaten: {against}")
    elif rule == "certain" and gain.low <= 0:
        refused.append(f"the best baseline is not beaten with certainty: {against}")
    if isinstance(champion, str):
        refused.append(f"the champion can't be compared with: {champion}")
    elif champion is not None:
        words = f"validation PR-AUC {spell_gain(champion)} against the champion"
        if champion.estimate <= 0:
            refused.append(f"it is not better than the champion: {words}")
        elif champion.low < -margin:
            refused.append(f"it may be worse than the champion by more than {margin:g}: {words}")
    else:
        words = "there is no champion yet"
    other = [f"the champion was trained on other pairs ({others})"] if others else []
    if refused:
        own = "for another question, give its models a name of their own (register.name)"
        return Decision(False, "; ".join([*refused, *other, *([own] if other else [])]))
    return Decision(True, "; ".join([words, *other, against, "the audit has no fail"]))
