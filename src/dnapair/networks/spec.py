"""The residual network's specification, shared by both frameworks."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from dnapair.features import parts

Normalization = Literal["layer", "batch", "none"]
Activation = Literal["relu", "gelu", "silu", "tanh"]

EPSILON = 1e-5
"""Added to the variance by layer and batch normalisation: the frameworks' own defaults differ."""
MOMENTUM = 0.9
"""Share of the running statistics that batch normalisation keeps at each step."""


@dataclass(frozen=True)
class NetworkSpec:
    """A residual network that scores pairs of embeddings.

    A block is linear -> normalisation -> activation -> dropout, plus a skip: a projection without bias
    where the width changes, else the identity. A linear head makes one logit of the last block.
    Source: He et al. 2016, "Deep residual learning for image recognition", with fully connected layers.

    Attributes
    ----------
    dimensions
        Of one embedding.
    widths
        ``depth`` blocks at each width.
    depth
        Blocks at each width.
    dropout
        Share of a block's outputs that training drops.
    normalization, activation
        Of each block; ``gelu`` is the exact one, by the error function.
    symmetric
        See :func:`dnapair.features.interaction`.
    """

    dimensions: int
    widths: tuple[int, ...]
    depth: int
    dropout: float
    normalization: Normalization
    activation: Activation
    symmetric: bool

    @property
    def features(self) -> int:
        """Number of features of one pair."""
        return self.dimensions * parts(self.symmetric)

    @property
    def blocks(self) -> list[tuple[int, int]]:
        """Number of inputs and outputs of every block, in order."""
        outputs = [width for width in self.widths for _ in range(self.depth)]
        return list(zip([self.features, *outputs], outputs, strict=False))

    def to_json(self) -> dict[str, Any]:
        """Return the specification as JSON holds it."""
        return {**asdict(self), "widths": list(self.widths)}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "NetworkSpec":
        """Build it from what :meth:`to_json` gave."""
        return cls(**{**content, "widths": tuple(content["widths"])})
