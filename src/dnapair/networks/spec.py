"""The residual network's specification, shared by both frameworks."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

from dnapair.errors import DnapairError
from dnapair.networks.features import parts

Normalization = Literal["layer", "batch", "none"]
Activation = Literal["relu", "gelu", "silu", "tanh"]

EPSILON = 1e-5
"""Added to the variance by layer and batch normalisation: the frameworks' own defaults differ."""
MOST_BLOCKS = 1024
MOST_MEMBERS = 1024
MOMENTUM = 0.9
"""Share of the running statistics that batch normalisation keeps at each step."""


@dataclass(frozen=True)
class NetworkSpec:
    """A residual network that scores pairs by their embeddings, their interactions, or both.

    A block is linear -> normalisation -> activation -> dropout, plus a skip: a projection without bias
    where the width changes, else the identity. A linear head makes one logit of the last block.
    Source: He et al. 2016, "Deep residual learning for image recognition", with fully connected layers.
    Several such networks, its members, score by the mean of their logits. Source: Lakshminarayanan et al.
    2017, "Simple and scalable predictive uncertainty estimation using deep ensembles".

    Attributes
    ----------
    dimensions
        Of one embedding, whether the network takes embeddings or not.
    widths
        ``depth`` blocks at each width.
    depth
        Blocks at each width.
    dropout
        Share of a block's outputs that training drops.
    normalization, activation
        Of each block; ``gelu`` is the exact one, by the error function.
    symmetric
        See :func:`dnapair.networks.features.combine`.
    embeddings
        Whether it takes the embeddings of both sequences.
    interactions
        How many numbers of a pair's interactions it takes; 0 for none.
    members
        How many networks of this shape it is the mean of.
    """

    dimensions: int
    widths: tuple[int, ...]
    depth: int
    dropout: float
    normalization: Normalization
    activation: Activation
    symmetric: bool
    embeddings: bool = True
    interactions: int = 0
    members: int = 1

    @property
    def inputs(self) -> dict[str, int]:
        """Widths of what it takes of ``e1``, ``e2`` and ``interactions``, by these names, in this order."""
        sides = {"e1": self.dimensions, "e2": self.dimensions} if self.embeddings else {}
        return sides | ({"interactions": self.interactions} if self.interactions else {})

    @property
    def features(self) -> int:
        """Number of features of one pair."""
        combined = self.dimensions * parts(self.symmetric) if self.embeddings else 0
        return combined + self.interactions

    @property
    def blocks(self) -> list[tuple[int, int]]:
        """Number of inputs and outputs of every block, in order."""
        outputs = [width for width in self.widths for _ in range(self.depth)]
        return list(zip([self.features, *outputs], outputs, strict=False))

    @property
    def member(self) -> "NetworkSpec":
        """One of the networks that it is the mean of."""
        return replace(self, members=1)

    def to_json(self) -> dict[str, Any]:
        """Return the specification as JSON holds it."""
        return {**asdict(self), "widths": list(self.widths)}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "NetworkSpec":
        """Build it from what :meth:`to_json` gave.

        Raises
        ------
        DnapairError
            If it is no network, one that takes nothing, or one beyond what params.yaml allows.
        """
        try:
            spec = cls(**{**content, "widths": tuple(content["widths"])})
            sizes = (spec.dimensions, spec.depth, *spec.widths)
            possible = (
                all(type(size) is int and 0 < size <= 65536 for size in sizes)
                and 0 < len(spec.widths) * spec.depth <= MOST_BLOCKS
                and 0 <= spec.dropout < 1
                and spec.normalization in get_args(Normalization)
                and spec.activation in get_args(Activation)
                and type(spec.embeddings) is bool
                and type(spec.interactions) is int
                and 0 <= spec.interactions <= 65536
                and bool(spec.inputs)
                and type(spec.members) is int
                and 0 < spec.members <= MOST_MEMBERS
            )
        except (KeyError, TypeError):
            possible = False
        if not possible:
            shown = str(dict(content))
            raise DnapairError(f"This is no network that dnapair builds: {shown[:200]}. Train it again.")
        return spec
