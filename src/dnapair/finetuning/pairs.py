"""What fine-tuning learns from: train and validation pairs, their k-mers and interactions; no test pair."""

import hashlib
from typing import NamedTuple

import numpy as np

from dnapair.errors import DnapairError
from dnapair.finetuning.tokens import Tokens
from dnapair.networks.spec import NetworkSpec
from dnapair.storage.matrix import Matrix
from dnapair.training.loop import Pairs

_WIDTHS = (256, 128)
_DROPOUT = 0.5
_FEWEST = 8


class Lesson(NamedTuple):
    """The pairs, and what belongs to them.

    Attributes
    ----------
    train, val : Pairs
        Their ``rows1`` and ``rows2`` are those of ``tokens``; ``rows`` those of ``interactions``.
    tokens : Tokens
        The sequences of both.
    interactions : array or MatrixFile, shape=(pairs, w), or None
        Scaled; None where pairs are not looked at base by base.
    symmetric : bool
        Whether both orders of a pair are one.
    both_strands : bool
        Whether an embedding is the mean over both strands.
    normalize : bool
        Whether embeddings are brought to length 1.
    """

    train: Pairs
    val: Pairs
    tokens: Tokens
    interactions: Matrix | None
    symmetric: bool
    both_strands: bool
    normalize: bool

    def head(self, dimensions: int) -> NetworkSpec:
        """Describe the residual network that learns along with the encoder."""
        return NetworkSpec(
            dimensions=dimensions,
            widths=_WIDTHS,
            depth=1,
            dropout=_DROPOUT,
            normalization="layer",
            activation="relu",
            symmetric=self.symmetric,
            interactions=0 if self.interactions is None else self.interactions.shape[1],
        )

    def identity(self) -> str:
        """Return a SHA-256 of all that is learnt from: a checkpoint is good for the same alone."""
        digest = hashlib.sha256(self.tokens.codes.tobytes())
        for pairs in (self.train, self.val):
            for column in pairs:
                digest.update(b"" if column is None else np.ascontiguousarray(column).tobytes())
        digest.update(str((self.interactions is None, *self[4:])).encode())
        return digest.hexdigest()


def check_pairs(train: Pairs, val: Pairs) -> None:
    """Refuse pairs that nothing can be learnt from.

    Raises
    ------
    DnapairError
        If a split holds one class alone, or train too few of one.
    """
    for split, labels in (("train", train.labels), ("validation", val.labels)):
        positives = int(np.count_nonzero(labels))
        if positives in (0, labels.size):
            raise DnapairError(
                f"finetune: the {split} split holds {positives} related and {labels.size - positives} "
                "unrelated pairs, and both are needed. Change the section split of params.yaml or the data, "
                "or leave the encoder as it is (finetune.method: none)."
            )
    positives = int(np.count_nonzero(train.labels))
    if min(positives, train.labels.size - positives) < _FEWEST:
        raise DnapairError(
            f"finetune: the train split holds {positives} related and {train.labels.size - positives} "
            f"unrelated pairs, and {_FEWEST} of each are the fewest that an encoder can learn from. Add "
            "pairs, or leave the encoder as it is (finetune.method: none)."
        )
