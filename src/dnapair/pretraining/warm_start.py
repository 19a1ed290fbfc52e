"""A start for the BERT: the same weights, trained first as a net over bags of k-mers, far cheaper.

A BERT gives every token of a fragment nearly the same vector where its attention is even and its residual
connection past the attention is weak: a feed-forward layer over the mean of the k-mers' embeddings. That net
needs one row a fragment, not one a token.

DNA of bacteria is mostly genes, and in a gene a k-mer means another thing in each codon position.
So half of the heads attend to every third token only, which position embeddings of period 3 tell apart:
the net then has three rows a strand, one for each reading frame. What it learns is written into the BERT,
which goes on from there.
"""

import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from dnapair.embedding.kmers import codes_of_bases, complement_codes
from dnapair.pretraining.fragments import Fragments
from dnapair.pretraining.network import PretrainingNetwork

PERIOD = 3
"""Bases in a codon, and so reading frames on a strand."""
GAIN = 6.0
"""How much stronger what is attended to is than a token's own embedding, where the two are added."""
FOCUS = 12.0
"""How far, as a logit, tokens of other frames are behind in the heads that tell frames apart."""
_SPREAD = 0.2
_FRAME_SPREAD = 0.8
_RESERVED = PERIOD + 1
_FIRST_GAIN = 10.0
_SHORTEST = 3


class BagOfKmers(nn.Module):
    """The special case of a BERT that sees, for each reading frame and strand, k-mers without their order.

    A k-mer's embedding is the sum of its own and of those of the shorter k-mers in it, so that what is learnt
    of a frequent 3-mer helps a rare 6-mer.

    Parameters
    ----------
    network
        Its last layer's weights are used and trained; :meth:`hand_over` writes the rest. The first half of
        its heads tells frames apart: with one head alone, none does.
    both_strands
        Whether an embedding is the mean over both strands.
    dropout
        Share of the fragment's vector that is left out in training, ahead of the feed-forward layer.
    seed
        Of the first embeddings.

    Attributes
    ----------
    gain
        See :data:`GAIN`.
    """

    gain = GAIN

    def __init__(self, network: PretrainingNetwork, both_strands: bool, dropout: float, seed: int) -> None:
        super().__init__()
        self.network = network
        self.vocabulary = network.vocabulary
        self.both_strands = both_strands
        self.dropout = dropout
        self.layer = network.bert.encoder.layer[-1]
        self.log_scale = network.log_scale
        config = network.bert.config
        self._head_width = config.hidden_size // config.num_attention_heads
        self._framed_heads = config.num_attention_heads // 2
        self._word_width = config.hidden_size - _RESERVED
        k = network.vocabulary.k
        codes = torch.arange(4**k)
        self.register_buffer("_complements", torch.from_numpy(complement_codes(k)), persistent=False)
        generator = torch.Generator().manual_seed(seed)
        tables = [torch.randn(4**k, self._word_width, generator=generator) * _SPREAD]
        for size in range(_SHORTEST, k):
            places = range(k - size + 1)
            # one table for each place that a shorter k-mer may have: the codon's, or between two codons
            rows = torch.stack([codes // 4**place % 4**size + place * 4**size for place in places])
            self.register_buffer(f"_parts_{size}", rows, persistent=False)
            spread = _SPREAD / math.sqrt(len(places))
            tables.append(torch.randn(len(places) * 4**size, self._word_width, generator=generator) * spread)
        self.tables = nn.ParameterList(tables)
        with torch.no_grad():
            self.layer.attention.self.value.weight.copy_(torch.eye(config.hidden_size) * _FIRST_GAIN)
            self.layer.attention.self.value.bias.zero_()
            self.layer.attention.output.dense.weight.copy_(torch.eye(config.hidden_size))
            self.layer.attention.output.dense.bias.zero_()

    def count(self, fragments: Fragments, kind: torch.dtype = torch.float32) -> torch.Tensor:
        """Return the share of every k-mer in each frame of each fragment, shape=(n, 3, 4 ** k), of a kind."""
        codes = codes_of_bases(fragments.bases, self.vocabulary.k)
        kinds = 4**self.vocabulary.k
        columns = codes + np.arange(codes.shape[1]) % PERIOD * kinds
        columns[codes < 0] = PERIOD * kinds
        # bfloat16 counts a fragment's k-mers right: the numbers up to 256 are exact in it
        counts = torch.zeros(len(codes), PERIOD * kinds + 1, dtype=kind)
        counts.scatter_add_(1, torch.from_numpy(columns), torch.ones(1, dtype=kind).expand(codes.shape))
        counts = counts[:, :-1].reshape(len(codes), PERIOD, kinds)
        return counts / counts.sum(2, keepdim=True).clamp(min=1)

    def centre(self, counts: torch.Tensor) -> None:
        """Let the mean of some fragments be the origin, so that the first steps see what differs.

        Parameters
        ----------
        counts : torch.Tensor, shape=(n, 3, 4 ** k)
            As :meth:`count` gives them.
        """
        with torch.no_grad():
            value = self.layer.attention.self.value
            mean = self._means(counts).mean((0, 1, 2))
            value.bias.copy_(-value.weight[:, : self._word_width] @ mean)

    def embed(self, counts: torch.Tensor) -> torch.Tensor:
        """Return embeddings, shape=(n, d), of counts of shape=(n, 3, 4 ** k)."""
        hidden = self.layer.attention.output.LayerNorm(self._attended(counts))
        hidden = functional.dropout(hidden, self.dropout, self.training)
        output = self.layer.output
        frames: torch.Tensor = output.LayerNorm(hidden + output.dense(self.layer.intermediate(hidden)))
        return frames.mean((1, 2))

    @torch.no_grad()
    def hand_over(self, counts: torch.Tensor) -> None:
        """Write what was learnt into the BERT, so that it gives nearly the same embeddings.

        Parameters
        ----------
        counts : torch.Tensor, shape=(n, 3, 4 ** k)
            Of some fragments, to measure strengths on.
        """
        self._hand_over(self._attended(counts))

    def _hand_over(self, attended: torch.Tensor) -> None:
        bert = self.network.bert
        first = bert.embeddings
        words = self._words()
        table = first.word_embeddings.weight
        table.zero_()
        # [CLS] and [SEP] are attended to as well: as good as nothing among hundreds of k-mers
        table[: int(self.vocabulary.ids.min()), : self._word_width] = words.mean(0)
        table[torch.from_numpy(self.vocabulary.ids), : self._word_width] = words
        table[self.vocabulary.pad] = 0
        first.token_type_embeddings.weight.zero_()
        positions = first.position_embeddings.weight
        positions.zero_()
        # the first k-mer comes after [CLS]
        frames = (torch.arange(len(positions)) - 1) % PERIOD
        positions[:, self._word_width :] = self._frames()[frames]
        # layers before the last one start as nothing but their residual connections
        for earlier in bert.encoder.layer[:-1]:
            for dense in (earlier.attention.output.dense, earlier.output.dense):
                dense.weight.zero_()
                dense.bias.zero_()
        attention = self.layer.attention
        attention.self.value.weight[:, self._word_width :] = 0
        # the norm that follows undoes any factor, so this weakens the residual connection alone
        gain = self.gain / attended.std(-1).mean()
        attention.output.dense.weight.mul_(gain)
        attention.output.dense.bias.mul_(gain)
        strength = float(self._normed()[:, self._word_width].median())
        factor = FOCUS * math.sqrt(self._head_width) / strength**2
        places = slice(self._word_width, self._word_width + PERIOD)
        for head in range(self._framed_heads):
            rows = slice(head * self._head_width, (head + 1) * self._head_width)
            for dense in (attention.self.query, attention.self.key):
                dense.weight[rows] = 0
            rows = slice(rows.start, rows.start + PERIOD)
            attention.self.key.weight[rows, places] = torch.eye(PERIOD)
            # 0 for the same frame whatever the k-mer, so that its tokens are attended to evenly
            attention.self.query.weight[rows, places] = factor * (torch.eye(PERIOD) - 1)

    def _attended(self, counts: torch.Tensor) -> torch.Tensor:
        """Return what the attention gives in each strand and frame, shape=(n, strands, 3, d)."""
        attention = self.layer.attention
        value = attention.self.value
        values = functional.linear(self._means(counts), value.weight[:, : self._word_width], value.bias)
        even = values.mean(2, keepdim=True).expand_as(values)
        framed = self._framed_heads * self._head_width
        attended: torch.Tensor = attention.output.dense(
            torch.cat([values[..., :framed], even[..., framed:]], dim=-1)
        )
        return attended

    def _means(self, counts: torch.Tensor) -> torch.Tensor:
        """Return the mean embedding in each strand and frame, shape=(n, strands, 3, word width)."""
        table = self._normed()[:, : self._word_width]
        tables = [table, table[self.get_buffer("_complements")]] if self.both_strands else [table]
        means = counts.flatten(0, 1) @ torch.cat(tables, dim=1)
        return means.view(len(counts), PERIOD, len(tables), self._word_width).transpose(1, 2)

    def _words(self) -> torch.Tensor:
        own, *shorter = self.tables
        words: torch.Tensor = own
        for size, table in zip(range(_SHORTEST, self.vocabulary.k), shorter, strict=True):
            for rows in self.get_buffer(f"_parts_{size}"):
                words = words + table[rows]
        # without a mean of their own, the first norm keeps frames apart from words
        return words - words.mean(1, keepdim=True)

    def _normed(self, *, special: bool = False) -> torch.Tensor:
        """Return each k-mer's embedding as the BERT's first norm gives it, in the first frame.

        With ``special``, a last row stands for all tokens that are no k-mers.
        """
        words = self._words()
        if special:
            words = torch.cat([words, words.mean(0, keepdim=True)])
        whole = torch.cat([words, self._frames()[0].expand(len(words), _RESERVED)], dim=1)
        return functional.layer_norm(whole, whole.shape[1:], eps=self.network.bert.config.layer_norm_eps)

    @staticmethod
    def _frames() -> torch.Tensor:
        """Return a vector for each frame, shape=(3, 4), all of one norm and summing to 0."""
        return _FRAME_SPREAD * torch.cat([torch.eye(PERIOD), -torch.ones(PERIOD, 1)], dim=1)
