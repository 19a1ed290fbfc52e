"""How well the embeddings tell pairs apart, measured on validation pairs while pretraining goes on."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dnapair.embedding.embedder import Embedder, Strand
from dnapair.embedding.kmers import NOT_A_BASE, base_codes
from dnapair.evaluation.baselines import FITTED_PAIRS, cosines, count_kmers, draw, fit_kmers, gather
from dnapair.evaluation.metrics import evaluate
from dnapair.pretraining.fragments import Fragments
from dnapair.pretraining.network import PretrainingNetwork
from dnapair.pretraining.warm_start import BagOfKmers
from dnapair.storage.numeric_columns import read_table
from dnapair.storage.sequence_file import SequenceFile
from dnapair.training.loop import Pairs


class Probe:
    """Validation pairs and their sequences.

    Parameters
    ----------
    sequences
        The sequences, each once.
    pairs
        Pairs of validation, never of test: rows of ``sequences`` and labels.
    """

    def __init__(self, sequences: Sequence[str], pairs: Pairs) -> None:
        self._sequences = sequences
        self._pairs = pairs
        lengths = np.array([len(sequence) for sequence in sequences])
        bases = np.full((len(sequences), lengths.max()), NOT_A_BASE, np.uint8)
        for row, sequence in zip(bases, sequences, strict=True):
            row[: len(sequence)] = base_codes(sequence)
        self._fragments = Fragments(bases, lengths)

    def measure_bag(self, bag: BagOfKmers) -> dict[str, float]:
        """Measure the cosines of a bag of k-mers, see :meth:`measure`."""
        return self.measure(bag.embed(bag.count(self._fragments)).detach().numpy())

    def measure_bert(self, network: PretrainingNetwork, both_strands: bool) -> dict[str, float]:
        """Measure the cosines of a BERT, mean pooling, on one strand or both, see :meth:`measure`."""
        strand: Strand = "both" if both_strands else "forward"
        encoder, device = network.encoder(name=""), network.bert.device.type
        return self.measure(Embedder(encoder, "mean", strand, True, "float32", device).embed(self._sequences))

    def measure(self, embeddings: np.ndarray) -> dict[str, float]:
        """Measure the cosine of the pairs' embeddings.

        Parameters
        ----------
        embeddings : np.ndarray, shape=(sequences, d)
            In the order of the sequences.

        Returns
        -------
        dict
            ``val_roc_auc`` and ``val_pr_auc``.
        """
        return self.figures(np.clip((cosines(embeddings, self._pairs) + 1) / 2, 0, 1))

    def figures(self, scores: np.ndarray) -> dict[str, float]:
        """Measure scores from 0 to 1 of the pairs, shape=(pairs,); keys as in :meth:`measure`."""
        measured = evaluate(self._pairs.labels, scores, 0.5)
        return {f"val_{name}": measured[name] for name in ("roc_auc", "pr_auc")}


def read_probe(pairs: Path, sequences: Path, seed: int) -> tuple[Probe, dict[str, float]]:
    """Read the validation pairs of artifacts/dataset, and measure 4-mers on them for comparison.

    Parameters
    ----------
    pairs, sequences
        pairs.parquet and sequences.parquet.
    seed
        Of the logistic regression over 4-mers, fitted on the train pairs.

    Returns
    -------
    Probe
        Of the validation pairs.
    dict
        What 4-mers reach, keys as in :meth:`Probe.measure`.
    """
    table = read_table(pairs, ["row1", "row2", "label", "split"]).to_pandas()
    names = ("row1", "row2", "label")
    train, val = (
        Pairs(*(table.loc[table["split"] == split, name].to_numpy() for name in names))
        for split in ("train", "val")
    )
    file = SequenceFile(sequences)
    rows, (fitted, tested) = gather([draw(train, FITTED_PAIRS, seed), val])
    scores = fit_kmers(count_kmers(file.take(rows)), fitted, seed)(tested)
    rows, (val,) = gather([val])
    probe = Probe(file.take(rows), val)
    return probe, probe.figures(scores)
