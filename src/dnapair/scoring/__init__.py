"""The finished model: raw DNA in, probability out."""

from dnapair.scoring.scorer import PairScorer

__all__ = ["PairScorer"]
