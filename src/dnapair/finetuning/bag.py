"""The net over bags of k-mers that a BERT with even attention is, for sequences of any length.

It is pretraining's, with all that counts where a sequence has only some dozen k-mers: [CLS] and [SEP] are
attended to as well, a reading frame weighs as much as it has k-mers, and the residual connection past the
attention is weaker. So the BERT that it is written into gives the same embeddings.
"""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from dnapair.embedding.encoder import Encoder
from dnapair.finetuning.tokens import Tokens
from dnapair.pretraining.network import PretrainingNetwork
from dnapair.pretraining.warm_start import PERIOD, BagOfKmers


class Bags(NamedTuple):
    """Sequences as a bag of k-mers for each reading frame of each window.

    Attributes
    ----------
    tokens : torch.Tensor, shape=(t,)
        k-mers by their codes, and 4 ** k for [CLS], [SEP] and unknown ones; bag by bag.
    starts : torch.Tensor, shape=(3 * w,)
        Where each bag begins.
    sizes : torch.Tensor, shape=(w, 1, 3, 1)
        Tokens in each.
    kmers : torch.Tensor, shape=(w, 1, 3, 1)
        Real k-mers of each, which alone make the embedding.
    owners : torch.Tensor, shape=(w,)
        The sequence of each window.
    total : int
        Sequences.
    """

    tokens: torch.Tensor
    starts: torch.Tensor
    sizes: torch.Tensor
    kmers: torch.Tensor
    owners: torch.Tensor
    total: int


def pack(tokens: Tokens, rows: NDArray[np.int64], dropped: float = 0.0, seed: int = 0) -> Bags:
    """Put the k-mers of sequences into bags.

    Parameters
    ----------
    tokens
        All sequences.
    rows
        Those that are wanted.
    dropped
        Share of the k-mers left out at random: no sequence then is told by a k-mer of its own.
    seed
        Of the draw.
    """
    windows = tokens.windows(rows)
    owners, places = windows.places()
    codes = tokens.read(windows)
    special = 4**tokens.k
    if dropped:
        kept = np.random.default_rng(seed).random(codes.size) >= dropped
        owners, places, codes = owners[kept], places[kept], codes[kept]
    bags = PERIOD * owners + places % PERIOD
    count = PERIOD * windows.lengths.size
    kmers = np.bincount(bags[codes >= 0], minlength=count)
    # [CLS] is one before the first k-mer, [SEP] one past the last
    firsts = PERIOD * np.arange(windows.lengths.size)
    ends = [firsts + PERIOD - 1, firsts + windows.lengths % PERIOD]
    bags = np.concatenate([bags, *ends])
    codes = np.concatenate([np.where(codes < 0, special, codes), np.full(2 * firsts.size, special)])
    order = np.argsort(bags, kind="stable")
    sizes = np.bincount(bags, minlength=count)

    def per_frame(values: NDArray[np.int64]) -> torch.Tensor:
        return torch.from_numpy(values.astype(np.float32)).view(-1, 1, PERIOD, 1)

    return Bags(
        torch.from_numpy(codes[order]),
        torch.from_numpy(np.cumsum(sizes) - sizes),
        per_frame(sizes),
        per_frame(kmers),
        torch.from_numpy(windows.owners),
        rows.size,
    )


class LabelledBag(BagOfKmers):
    """A net over bags of k-mers, begun anew or from an encoder that is one.

    Parameters
    ----------
    network, both_strands, dropout, seed
        As for :class:`~dnapair.pretraining.warm_start.BagOfKmers`.
    """

    gain = 64.0

    def __init__(self, network: PretrainingNetwork, both_strands: bool, dropout: float, seed: int) -> None:
        super().__init__(network, both_strands, dropout, seed)
        special = torch.tensor([len(self.get_buffer("_complements"))])
        complements = torch.cat([self.get_buffer("_complements"), special])
        self.register_buffer("_turned", complements, persistent=False)

    @classmethod
    def of(cls, encoder: Encoder, both_strands: bool, dropout: float, seed: int) -> "LabelledBag":
        """Begin from an encoder; whether it is such a net, :func:`distance` tells."""
        network = PretrainingNetwork.of(encoder, seed)
        bag = cls(network, both_strands, dropout, seed)
        network.load(encoder)
        with torch.no_grad():
            # rows of the shorter k-mers' tables are learnt from here on
            for shorter in list(bag.tables)[1:]:
                shorter.zero_()
            words = network.bert.embeddings.word_embeddings.weight[torch.from_numpy(encoder.vocabulary.ids)]
            bag.tables[0].copy_(words[:, : bag.tables[0].shape[1]])
        return bag

    def begin(self, bags: Bags) -> None:
        """Let the mean of some sequences be the origin, as :meth:`centre` does for fragments."""
        with torch.no_grad():
            value = self.layer.attention.self.value
            mean = self._token_means(bags).mean((0, 1, 2))
            value.bias.copy_(-value.weight[:, : mean.numel()] @ mean)

    def embed_bags(self, bags: Bags) -> torch.Tensor:
        """Return embeddings, shape=(sequences, d)."""
        hidden = self.layer.attention.output.LayerNorm(self._attend(bags))
        hidden = functional.dropout(hidden, self.dropout, self.training)
        output = self.layer.output
        frames = output.LayerNorm(hidden + output.dense(self.layer.intermediate(hidden)))
        summed = (frames * bags.kmers).sum(2).mean(1)
        counts = bags.kmers.sum((1, 2))
        if len(bags.owners) > bags.total:
            whole = torch.zeros(bags.total, summed.shape[1] + 1)
            both = whole.index_add(0, bags.owners, torch.cat([summed, counts], dim=1))
            summed, counts = both[:, :-1], both[:, -1:]
        means: torch.Tensor = summed / counts.clamp(min=1)
        return means

    @torch.no_grad()
    def write(self, bags: Bags) -> None:
        """Write what was learnt into the BERT; strengths are measured on some sequences."""
        self._hand_over(self._attend(bags))
        # what these heads would ask for at random is nothing, so that they attend evenly
        rows = slice(self._framed_heads * self._head_width, None)
        query = self.layer.attention.self.query
        query.weight[rows] = 0
        query.bias.zero_()

    def _attend(self, bags: Bags) -> torch.Tensor:
        """Return what the attention gives in each window, strand and frame, shape=(w, strands, 3, d)."""
        value = self.layer.attention.self.value
        means = self._token_means(bags)
        weight = value.weight[:, : means.shape[-1]]
        whole = (means * bags.sizes).sum(2, keepdim=True) / bags.sizes.sum(2, keepdim=True)
        even = functional.linear(whole, weight, value.bias).expand(-1, -1, PERIOD, -1)
        framed = self._framed_heads * self._head_width
        in_frames = functional.linear(means, weight[:framed], value.bias[:framed])
        attended: torch.Tensor = self.layer.attention.output.dense(
            torch.cat([in_frames, even[..., framed:]], dim=-1)
        )
        return attended

    def _token_means(self, bags: Bags) -> torch.Tensor:
        """Return the mean embedding in each window, strand and frame, shape=(w, strands, 3, word width)."""
        table = self._normed(special=True)[:, : self._word_width]
        tables = [table, table[self.get_buffer("_turned")]] if self.both_strands else [table]
        sums = functional.embedding_bag(bags.tokens, torch.cat(tables, dim=1), bags.starts, mode="sum")
        means = sums.view(-1, PERIOD, len(tables), self._word_width).transpose(1, 2)
        return means / bags.sizes.clamp(min=1)
