"""A loaded model as MLflow's classifier evaluator takes it."""

from collections.abc import Callable

import mlflow
import numpy as np
import pandas as pd
from mlflow.models import Model
from mlflow.pyfunc import PyFuncModel
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin


class PairClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """What a classifier of scikit-learn's is asked for: labels, probabilities, and the share that is right.

    Parameters
    ----------
    scored
        Gives a table of pairs its ``probability`` and ``label``.
    """

    def __init__(self, scored: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
        self.scored = scored
        self.classes_ = np.array([0, 1])
        self._last: tuple[pd.DataFrame, pd.DataFrame] | None = None

    def predict(self, X: pd.DataFrame) -> NDArray[np.int64]:
        """Return a label for each pair: 1 where the probability reaches the threshold; shape=(n,)."""
        return self._score(X)["label"].to_numpy()

    def predict_proba(self, X: pd.DataFrame) -> NDArray[np.float64]:
        """Return the probabilities of both labels; shape=(n, 2)."""
        related = self._score(X)["probability"].to_numpy(np.float64)
        return np.column_stack([1 - related, related])

    def _score(self, pairs: pd.DataFrame) -> pd.DataFrame:
        # an evaluator asks for labels, probabilities and accuracy of the same pairs, one after the other
        if self._last is None or not self._last[0].equals(pairs):
            self._last = pairs, self.scored(pairs)
        return self._last[1]


def make_pyfunc(scored: Callable[[pd.DataFrame], pd.DataFrame], model_id: str | None) -> PyFuncModel:
    """Wrap a model for ``mlflow.models.evaluate``.

    Its classifier evaluator asks a model of scikit-learn's, XGBoost's or CatBoost's flavour alone for
    probabilities, without which it has neither ROC-AUC nor PR-AUC, and takes a single column of predictions.

    Parameters
    ----------
    scored
        Gives a table of pairs its ``probability`` and ``label``.
    model_id
        The logged model's, which the metrics are recorded with; None where there is none.

    Returns
    -------
    PyFuncModel
        Its ``predict`` gives labels.
    """
    flavors = {mlflow.pyfunc.FLAVOR_NAME: {"loader_module": "mlflow.sklearn"}}
    facts = Model(flavors=flavors, model_id=model_id)
    return PyFuncModel(model_meta=facts, model_impl=PairClassifier(scored), model_id=model_id)
