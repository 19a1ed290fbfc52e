"""The registered model: MLflow runs this file ("models from code"), so nothing of it is pickled."""

from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
from mlflow.pyfunc.model import PythonModel, PythonModelContext

from dnapair.data.pair_columns import choose_pair
from dnapair.errors import DnapairError
from dnapair.scoring.scorer import PairScorer


class PairModel(PythonModel):
    """Raw DNA in two columns, ``seq1`` and ``seq2`` or as in training; ``probability`` and ``label`` out."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load encoder, scaler and network, once."""
        self.scorer = PairScorer(Path(context.artifacts["bundle"]))

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Score pairs.

        Parameters
        ----------
        context
            Unused; MLflow hands it over.
        model_input
            Two columns of strings: of the names that the model was trained with, or ``seq1`` and ``seq2``.
        params
            ``threshold``: probability from which a pair is called related, in place of the model's own.

        Returns
        -------
        pd.DataFrame
            Columns ``probability`` (float32) and ``label`` (int64), in the order of the input.

        Raises
        ------
        MlflowException
            For input that can't be scored; the server answers 400 with the reason.
        """
        try:
            columns = choose_pair(_filled(model_input), self.scorer.settings.columns)
            seq1, seq2 = (_strings(model_input, name) for name in columns)
            threshold = (params or {}).get("threshold")
            scores = self.scorer.score(seq1, seq2, columns=columns, threshold=threshold)
        except DnapairError as error:
            raise MlflowException(str(error), INVALID_PARAMETER_VALUE) from None
        return pd.DataFrame(scores._asdict())


def _filled(table: pd.DataFrame) -> list[Any]:
    """Return the names of the columns with any value: Spark makes the others of the signature, of nulls."""
    return [name for name in table if table[name].notna().to_numpy().any()] or list(table)


def _strings(table: pd.DataFrame, column: str) -> list[str]:
    # the signature lets null through
    if column not in table:
        raise DnapairError(f"There is no column {column!r}: the model takes seq1 and seq2.")
    values = table[column].tolist()
    for place, value in enumerate(values, start=1):
        if not isinstance(value, str) or not value.strip():
            raise DnapairError(f"{column} of pair {place} is {value!r}, not a sequence.")
    return values


mlflow.models.set_model(PairModel())
