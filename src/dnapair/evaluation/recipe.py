"""The original recipe, with its faults, as a baseline: what the project that this one grew out of did.

Its faults are kept on purpose: k-mers of one strand are padded to the encoder's length, no mask tells the
padding from DNA, and the mean is over all positions; one minimum and maximum scales all values, those of
validation and test among them; the validation pairs are random rows of train; the last epoch's weights are
used, at a threshold of 0.5. How long it trained, and which shape its network had, is not known.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from tqdm import tqdm

from dnapair.embedding.bert import Bert
from dnapair.embedding.embedder import BATCH_TOKENS
from dnapair.embedding.encoder import Encoder
from dnapair.embedding.kmers import KmerVocabulary
from dnapair.evaluation.baselines import Baseline, draw, gather
from dnapair.networks.spec import NetworkSpec
from dnapair.storage.matrix import Matrix, MatrixFile, write_header
from dnapair.storage.sequence_file import SequenceFile
from dnapair.training.learner import LearnerSettings
from dnapair.training.loop import LoopSettings, Matrices, Pairs, fit, predict
from dnapair.training.torch_learner import TorchLearner

NAME = "the original recipe"
FITTED_PAIRS = 50_000
"""Train pairs that are used at most: each of their sequences takes a whole pass of the encoder's length."""
VALIDATION = 0.1
"""Share of the train pairs that the recipe sets aside, by random rows."""
WIDTHS = (512, 256, 128)
DROPOUT = 0.3
EPOCHS = 10
BATCH_SIZE = 256
LEARNING_RATE = 1e-3
ROWS = 1024
"""Sequences read and embedded at a time."""


class GlobalScale:
    """A matrix of which rows come out scaled to [-1, 1] by one minimum and maximum.

    Parameters
    ----------
    matrix : array or MatrixFile, shape=(rows, d)
        float32.
    low, high
        What becomes -1 and 1.
    """

    def __init__(self, matrix: Matrix, low: float, high: float) -> None:
        self._matrix, self._low = matrix, low
        self._width = high - low or 1.0
        self.shape = matrix.shape

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self._matrix)

    def __getitem__(self, rows: slice | NDArray[np.int64]) -> NDArray[np.float32]:
        """Return rows, scaled, float32."""
        share = (self._matrix[rows].astype(np.float64) - self._low) / self._width
        return (2 * share - 1).astype(np.float32)


def begin_recipe(
    bert: Bert,
    encoder: Encoder,
    sequences: SequenceFile,
    splits: Mapping[str, Pairs],
    folder: Path,
    seed: int,
) -> Callable[[], Baseline]:
    """Embed and scale as the original did, and return what trains and scores as it did.

    Parameters
    ----------
    bert
        The encoder on a device, with pooling ``mean``.
    encoder
        For its k-mers, and how many of them it takes at a time.
    sequences
        The sequence of each row, upper-case. Only those of the pairs used are read.
    splits
        Pairs of ``train``, ``val`` and ``test``.
    folder
        Where the embeddings lie until the baseline is there: 4 bytes a value.
    seed
        Of the train pairs drawn, of the rows set aside, of the weights and of the order of pairs.

    Returns
    -------
    callable
        Gives the baseline, of threshold 0.5. The pairs of ``val`` are scored, but took no part. It raises
        DnapairError if train or validation holds one class alone, or training diverges.
    """
    train = draw(splits["train"], FITTED_PAIRS, seed)
    rows, (train, val, test) = gather([train, splits["val"], splits["test"]])
    matrix = embed_padded(bert, encoder, sequences, rows, folder / "recipe.npy")
    matrices = Matrices(matrix)
    order = np.random.default_rng(seed).permutation(train.labels.size)
    # the recipe set validation rows aside but took the last weights, so all they did was to go missing
    fitted = train.take(order[round(VALIDATION * order.size) :])
    spec = NetworkSpec(matrix.shape[1], WIDTHS, 1, DROPOUT, "batch", "relu", symmetric=False)
    settings = LearnerSettings(LEARNING_RATE, 0.0, 1.0, 1.0, seed, "auto")
    # patience beyond the epochs: neither a lower rate nor an early end
    loop = LoopSettings(EPOCHS, BATCH_SIZE, EPOCHS + 1, 0.5, EPOCHS + 1, seed)
    about = (
        f"The original scripts' way with this encoder: mean over {encoder.window + 2} positions, padding "
        "included; one range for all values, those of test too; random validation rows; last weights; "
        "threshold 0.5."
    )

    def follow() -> Baseline:
        learner = TorchLearner(spec, settings)
        fit(learner, matrices, fitted, val, loop, keep="last")
        logits = {split: predict(learner, matrices, pairs) for split, pairs in (("val", val), ("test", test))}
        scores = {split: expit(found.astype(np.float64)) for split, found in logits.items()}
        return Baseline(about, "recipe", scores, 0.5)

    return follow


def embed_padded(
    bert: Bert, encoder: Encoder, sequences: SequenceFile, rows: np.ndarray, path: Path
) -> GlobalScale:
    """Embed sequences, each padded to the encoder's length, and average over every position.

    Parameters
    ----------
    bert, encoder, sequences
        As for :func:`begin_recipe`.
    rows : np.ndarray, shape=(n,)
        Those to embed.
    path
        The .npy file to write.

    Returns
    -------
    GlobalScale
        shape=(n, d), scaled by the least and the greatest of all values.
    """
    low, high = np.inf, -np.inf
    with path.open("wb") as file:
        for start in tqdm(
            range(0, rows.size, ROWS),
            desc=f"embed for {NAME}",
            unit="block",
            dynamic_ncols=True,
            disable=None,
        ):
            ids = padded_ids(sequences.take(rows[start : start + ROWS]), encoder.vocabulary, encoder.window)
            values = np.concatenate(bert.run([(part, np.ones(part.shape, bool)) for part in _batches(ids)]))
            if not start:
                write_header(file, (rows.size, values.shape[1]), np.float32)
            file.write(values.astype(np.float32, copy=False).tobytes())
            low, high = min(low, float(values.min())), max(high, float(values.max()))
    return GlobalScale(MatrixFile(path), low, high)


def padded_ids(sequences: Sequence[str], vocabulary: KmerVocabulary, window: int) -> NDArray[np.int32]:
    """Return [CLS], the first k-mers, [SEP] and [PAD], shape=(len(sequences), window + 2), int32."""
    ids = np.full((len(sequences), window + 2), vocabulary.pad, np.int32)
    ids[:, 0] = vocabulary.cls
    for row, sequence in zip(ids, sequences, strict=True):
        kmers = vocabulary.encode(sequence[: window + vocabulary.k - 1])
        row[1 : kmers.size + 1] = kmers
        row[kmers.size + 1] = vocabulary.sep
    return ids


def _batches(ids: NDArray[np.int32]) -> Iterator[NDArray[np.int32]]:
    step = max(1, BATCH_TOKENS // ids.shape[1])
    for start in range(0, len(ids), step):
        yield ids[start : start + step]
