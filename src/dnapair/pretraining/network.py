"""The BERT that is pretrained, with what it needs only while it is."""

import math
from typing import NamedTuple

import torch
from torch import nn
from transformers import BertConfig, BertForMaskedLM, BertModel

from dnapair.embedding.bert import CONFIG
from dnapair.embedding.encoder import Encoder, make_encoder
from dnapair.embedding.kmers import SPECIAL_TOKENS, KmerVocabulary

POSITIONS = 512
_START_SCALE = 10.0


class Shape(NamedTuple):
    """Shape of a BERT: number of layers and heads, widths of the embedding and of the feed-forward layers."""

    layers: int
    hidden: int
    heads: int
    feed_forward: int
    dropout: float


def shape_config(vocabulary: KmerVocabulary, shape: Shape) -> BertConfig:
    """Describe a BERT as transformers does."""
    return BertConfig(
        vocab_size=vocabulary.size,
        hidden_size=shape.hidden,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        intermediate_size=shape.feed_forward,
        hidden_dropout_prob=shape.dropout,
        attention_probs_dropout_prob=shape.dropout,
        max_position_embeddings=POSITIONS,
        pad_token_id=vocabulary.pad,
    )


class PretrainingNetwork(nn.Module):
    """A BERT, the head that guesses hidden k-mers, and the temperature of the contrastive loss.

    Parameters
    ----------
    vocabulary
        The k-mers, in the order of DNABERT's own vocabulary.
    shape
        Of the BERT.
    seed
        Of the first weights.
    """

    def __init__(self, vocabulary: KmerVocabulary, shape: Shape, seed: int) -> None:
        super().__init__()
        self._build(vocabulary, shape_config(vocabulary, shape), seed)

    @classmethod
    def of(cls, encoder: Encoder, seed: int) -> "PretrainingNetwork":
        """Build it in an encoder's shape and with its weights; the seed is that of the head's."""
        network = cls.__new__(cls)
        nn.Module.__init__(network)
        network._build(encoder.vocabulary, BertConfig(**{key: encoder.config[key] for key in CONFIG}), seed)
        network.load(encoder)
        return network

    def load(self, encoder: Encoder) -> None:
        """Copy an encoder's weights in."""
        self.bert.load_state_dict({name: torch.from_numpy(value) for name, value in encoder.weights.items()})

    def _build(self, vocabulary: KmerVocabulary, config: BertConfig, seed: int) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.masked_model = BertForMaskedLM(config)
        self.log_scale = nn.Parameter(torch.tensor(math.log(_START_SCALE)))
        self.vocabulary = vocabulary

    @property
    def bert(self) -> BertModel:
        """The encoder itself."""
        return self.masked_model.bert

    def encoder(self, name: str, dtype: torch.dtype = torch.float32) -> Encoder:
        """Make an encoder of the BERT as it is now: its weights are copied."""
        state = self.bert.state_dict()
        weights = {key: tensor.detach().to("cpu", dtype).numpy().copy() for key, tensor in state.items()}
        config = {key: getattr(self.bert.config, key) for key in CONFIG}
        return make_encoder(weights, config, self.vocabulary, name)

    def hidden(self, ids: torch.Tensor) -> torch.Tensor:
        """Return the last layer, shape=(n, length, d), for ids of shape=(n, length)."""
        padded = ids == self.vocabulary.pad
        # fragments of one length need no mask, and attention without one is faster
        mask = (~padded).long() if bool(padded.any()) else None
        hidden: torch.Tensor = self.bert(input_ids=ids, attention_mask=mask).last_hidden_state
        return hidden

    def embed(self, ids: torch.Tensor) -> torch.Tensor:
        """Return the mean over the real k-mers, shape=(n, d), as dnapair pools them."""
        real = (ids >= len(SPECIAL_TOKENS)).to(torch.float32)
        hidden = self.hidden(ids).to(torch.float32)
        return (real[:, None] @ hidden)[:, 0] / real.sum(1, keepdim=True)

    def guess(
        self, ids: torch.Tensor, targets: torch.Tensor, ignored: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Guess the hidden k-mers.

        Parameters
        ----------
        ids, targets : torch.Tensor, shape=(n, length)
            As :func:`~dnapair.pretraining.masking.hide_spans` gives them.
        ignored
            The target of a token that is not guessed.

        Returns
        -------
        logits : torch.Tensor, shape=(guessed, vocabulary)
            One row for each hidden k-mer: the head is not run on the others.
        wanted : torch.Tensor, shape=(guessed,)
            Their ids.
        """
        chosen = targets != ignored
        return self.masked_model.cls(self.hidden(ids)[chosen]), targets[chosen]
