"""How well the embeddings tell pairs apart, measured on validation pairs while pretraining goes on."""

from collections.abc import Sequence

import numpy as np
from transformers import BertModel

from dnapair.embedding.embedder import Embedder, Strand
from dnapair.embedding.kmers import KmerVocabulary, base_codes
from dnapair.evaluation.baselines import cosines
from dnapair.evaluation.metrics import evaluate
from dnapair.pretraining.fragments import Fragments
from dnapair.pretraining.network import encoder_of
from dnapair.pretraining.warm_start import BagOfKmers
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
        bases = np.full((len(sequences), lengths.max()), 4, np.uint8)
        for row, sequence in zip(bases, sequences, strict=True):
            row[: len(sequence)] = base_codes(sequence)
        self._fragments = Fragments(bases, lengths)

    def measure_bag(self, bag: BagOfKmers) -> dict[str, float]:
        """Measure the cosines of a bag of k-mers, see :meth:`measure`."""
        return self.measure(bag.embed(bag.count(self._fragments)).detach().numpy())

    def measure_bert(
        self, bert: BertModel, vocabulary: KmerVocabulary, both_strands: bool
    ) -> dict[str, float]:
        """Measure the cosines of a BERT, mean pooling, on one strand or both, see :meth:`measure`."""
        strand: Strand = "both" if both_strands else "forward"
        device = str(bert.device.type)
        encoder = encoder_of(bert, vocabulary, name="")
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
