"""Every scaled value, reduced to a row for each dimension; and what must hold there."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from tqdm import tqdm

from dnapair.checks.facts import Fact
from dnapair.storage.matrix import Matrix

LEAST = float(np.nextafter(0, 1))
"""The smallest number above 0."""


class Rule(NamedTuple):
    """What must hold for a column of the summary by dimension, in every row.

    Attributes
    ----------
    name
        Short.
    words
        What is checked, as a sentence.
    fault
        How to call it when it fails.
    column
        Of the summary.
    low, high
        The range its values must lie in, ends included; None is no limit.
    """

    name: str
    words: str
    fault: str
    column: str
    low: float | None
    high: float | None


RULES = (
    Rule("none below -1", "No value is below -1.", "Values are below -1", "smallest", -1, None),
    Rule("none above 1", "No value is above 1.", "Values are above 1", "greatest", None, 1),
    Rule(
        "finite",
        "Every value is a finite number.",
        "Values are not finite (how many, by dimension)",
        "not finite",
        0,
        0,
    ),
    Rule(
        "no constant dimension",
        "Every dimension has more than one value in training.",
        "Dimensions have one value only in training, so they tell nothing apart",
        "range in training",
        LEAST,
        None,
    ),
)
"""What holds for every dimension, however it was scaled."""

REACHES_ENDS = tuple(
    Rule(
        f"training reaches {end}",
        f"The {which} value of every dimension in training is exactly {end}.",
        f"Dimensions do not reach {end} in training",
        f"{which} in training",
        end,
        end,
    )
    for which, end in (("smallest", -1), ("greatest", 1))
)
"""What holds besides where each dimension was scaled by itself."""


def summarize(matrix: Matrix, training: np.ndarray, block_values: int = 4_000_000) -> pd.DataFrame:
    """Reduce the scaled matrix to one row a dimension; every value is read once, block by block.

    Parameters
    ----------
    matrix : array or MatrixFile, shape=(rows, d)
        Scaled embeddings, or interactions.
    training : np.ndarray, shape=(rows,)
        True for the rows that training pairs use.
    block_values
        Values in one block.

    Returns
    -------
    pd.DataFrame
        One row a dimension: its smallest and greatest finite value, over all rows and in training,
        the range in training, and the number of values that are not finite.
    """
    rows, d = matrix.shape
    ends = {name: np.full(d, sign * np.inf) for name, sign in (("low", 1), ("high", -1))}
    ends |= {f"training {name}": values.copy() for name, values in ends.items()}
    not_finite = np.zeros(d, np.int64)
    step = max(1, block_values // d)
    starts = range(0, rows, step)
    for start in tqdm(starts, desc="check values", unit="block", dynamic_ncols=True, disable=None):
        block = matrix[start : start + step]
        finite = np.isfinite(block)
        not_finite += (~finite).sum(axis=0)
        trained = training[start : start + step, None] & finite
        for prefix, counted in (("", finite), ("training ", trained)):
            low, high = ends[f"{prefix}low"], ends[f"{prefix}high"]
            np.minimum(low, block.min(axis=0, initial=np.inf, where=counted), out=low)
            np.maximum(high, block.max(axis=0, initial=-np.inf, where=counted), out=high)
    summary = pd.DataFrame(
        {
            "dimension": np.arange(d),
            "smallest": ends["low"],
            "greatest": ends["high"],
            "smallest in training": ends["training low"],
            "greatest in training": ends["training high"],
            "range in training": ends["training high"] - ends["training low"],
            "not finite": not_finite,
        }
    )
    # a dimension without any finite value has no ends; its values are counted as not finite
    return summary.replace([np.inf, -np.inf], np.nan)


def end_facts(summary: pd.DataFrame) -> list[Fact]:
    """Check that the matrix as a whole, scaled with ``global``, reaches -1 and 1 in training."""
    ends = (
        ("smallest", -1, summary["smallest in training"].min()),
        ("greatest", 1, summary["greatest in training"].max()),
    )
    return [
        Fact(
            f"training reaches {end}",
            f"The {which} of all values in training is exactly {end}.",
            f"The values in training do not reach {end}",
            float(value),
            end,
            end,
        )
        for which, end, value in ends
    ]
