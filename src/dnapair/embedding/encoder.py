"""The encoder: a BERT over k-mers, as arrays, with its vocabulary."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from dnapair.embedding.bert import CONFIG, BertShape, Weights, weight_shapes
from dnapair.embedding.hub import UNTRAINED
from dnapair.embedding.kmers import KmerVocabulary
from dnapair.storage.files import atomic_file, write_json

UNTRAINED_KEY = "dnapair_untrained"
"""Where a config.json says that the weights were drawn, and how."""
_DEVIATION = 0.02


class Encoder(NamedTuple):
    """A BERT and its k-mers.

    Attributes
    ----------
    weights : dict
        See :data:`~dnapair.embedding.bert.Weights`; float32, but for one that is about to be written.
    config : dict
        What its config.json says of the keys of :data:`~dnapair.embedding.bert.CONFIG`.
    vocabulary : KmerVocabulary
        Its k-mers.
    name : str
        What reports call it.
    trained : bool
        False for weights that were drawn, not learnt.
    fingerprint : str
        SHA-256 of all that embeddings depend on: weights, shape and ids of k-mers.
    """

    weights: Weights
    config: Mapping[str, Any]
    vocabulary: KmerVocabulary
    name: str
    trained: bool
    fingerprint: str

    @property
    def dimensions(self) -> int:
        """Length of an embedding."""
        return int(self.config["hidden_size"])

    @property
    def window(self) -> int:
        """Number of k-mers that fit into the model beside [CLS] and [SEP]."""
        return int(self.config["max_position_embeddings"]) - 2

    @property
    def shape(self) -> BertShape:
        """What a forward pass needs to know beside the weights."""
        return BertShape.of(self.config)

    def save(self, folder: Path) -> None:
        """Write the encoder in Hugging Face's layout: config.json, model.safetensors, vocab.txt."""
        kind = {"architectures": ["BertModel"], "model_type": "bert"}
        dtype = next(iter(self.weights.values())).dtype.name
        write_json(folder / "config.json", {**kind, "dtype": dtype, **self.config})
        with atomic_file(folder / "model.safetensors") as temporary:
            temporary.write_bytes(save(dict(self.weights), {"format": "pt"}))
        self.vocabulary.write(folder / "vocab.txt")
        write_json(
            folder / "tokenizer_config.json",
            {"tokenizer_class": "BertTokenizer", "do_lower_case": False, "model_max_length": self.window + 2},
        )


def make_encoder(
    weights: Weights,
    config: Mapping[str, Any],
    vocabulary: KmerVocabulary,
    name: str,
) -> Encoder:
    """Make an encoder of what is at hand, see :class:`Encoder`; drawn weights go before the name."""
    untrained = config.get(UNTRAINED_KEY)
    return Encoder(
        weights=weights,
        config=config,
        vocabulary=vocabulary,
        name=f"{UNTRAINED} ({untrained})" if untrained else name,
        trained=not untrained,
        fingerprint=_fingerprint(weights, config, vocabulary),
    )


def build_untrained(k: int, layers: int, hidden: int, heads: int, seed: int) -> Encoder:
    """Build an encoder with drawn weights, the same on every machine for one seed.

    They are drawn as Devlin et al. 2019 ("BERT: pre-training of deep bidirectional transformers") begin:
    matrices normally distributed with a deviation of 0.02, the padding's row and biases 0.

    Parameters
    ----------
    k
        Length of a k-mer in bases.
    layers, hidden, heads
        Shape of the BERT; the feed-forward layers are 4 x ``hidden`` wide.
    seed
        At least 1.

    Returns
    -------
    Encoder
        With ``trained`` False and a name that says so.
    """
    vocabulary = KmerVocabulary.standard(k)
    config = {
        **CONFIG,
        "vocab_size": vocabulary.size,
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "intermediate_size": 4 * hidden,
        "pad_token_id": vocabulary.pad,
        UNTRAINED_KEY: f"{layers} x {hidden}, k = {k}, seed {seed}",
    }
    rng = np.random.default_rng(seed)
    weights: dict[str, NDArray[np.floating]] = {}
    for name, shape in weight_shapes(config).items():
        if len(shape) == 2:
            weights[name] = (_DEVIATION * rng.standard_normal(shape)).astype(np.float32)
        else:
            weights[name] = np.full(shape, float(name.endswith("LayerNorm.weight")), np.float32)
    weights["embeddings.word_embeddings.weight"][vocabulary.pad] = 0
    return make_encoder(weights, config, vocabulary, name="")


def _fingerprint(weights: Weights, config: Mapping[str, Any], vocabulary: KmerVocabulary) -> str:
    digest = hashlib.sha256(vocabulary.ids.tobytes())
    # the number of heads, the kind of GELU and epsilon show in no weight
    beside = [*BertShape.of(config), vocabulary.unk, vocabulary.cls, vocabulary.sep]
    digest.update(json.dumps(beside).encode())
    for name, values in sorted(weights.items()):
        digest.update(name.encode())
        digest.update(values.tobytes())
    return digest.hexdigest()
