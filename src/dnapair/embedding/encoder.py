"""The encoder: a BERT over k-mers, as arrays, with its vocabulary."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from dnapair.embedding.kmers import KmerVocabulary
from dnapair.embedding.shape import ACTIVATIONS, CONFIG, BertShape, weight_shapes
from dnapair.storage.files import atomic_file, write_json

UNTRAINED = "untrained"
UNTRAINED_KEY = "dnapair_untrained"
"""Where a config.json says that the weights were drawn, and how."""
_DEVIATION = 0.02


class Encoder(NamedTuple):
    """A BERT and its k-mers.

    Attributes
    ----------
    weights : dict
        Arrays by their names in a Hugging Face checkpoint, see
        :func:`~dnapair.embedding.shape.weight_shapes`; float32, but for one that is about to be written.
    config : dict
        What its config.json says of the keys of :data:`~dnapair.embedding.shape.CONFIG`.
    vocabulary : KmerVocabulary
        Its k-mers.
    name : str
        What reports call it.
    trained : bool
        False for weights that were drawn, not learnt.
    fingerprint : str
        SHA-256 of every weight and k-mer id.
    """

    weights: Mapping[str, NDArray[np.floating]]
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
        config = self.config
        return BertShape(
            layers=config["num_hidden_layers"],
            heads=config["num_attention_heads"],
            dimensions=config["hidden_size"],
            positions=config["max_position_embeddings"],
            gelu=ACTIVATIONS[config["hidden_act"]],
            epsilon=float(config["layer_norm_eps"]),
        )

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
    weights: Mapping[str, NDArray[np.floating]],
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
        fingerprint=_fingerprint(weights, vocabulary.ids),
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


def _fingerprint(weights: Mapping[str, NDArray[np.floating]], ids: NDArray[np.int64]) -> str:
    digest = hashlib.sha256(ids.tobytes())
    for name, values in sorted(weights.items()):
        digest.update(name.encode())
        digest.update(values.tobytes())
    return digest.hexdigest()
