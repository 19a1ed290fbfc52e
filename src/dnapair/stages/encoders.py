"""The encoder that the settings name, for the stages that need it."""

from dnapair.embedding.checkpoint import load_encoder
from dnapair.embedding.encoder import Encoder, build_untrained
from dnapair.embedding.hub import UNTRAINED
from dnapair.params import Encoder as EncoderParams


def open_encoder(settings: EncoderParams) -> Encoder:
    """Load a checkpoint, or build the untrained encoder.

    Parameters
    ----------
    settings
        The section ``encoder`` of params.yaml.

    Returns
    -------
    Encoder
        Ready to embed.

    Raises
    ------
    DnapairError
        If the checkpoint is missing or does not fit.
    """
    if settings.source == UNTRAINED:
        return build_untrained(**settings.untrained.model_dump())
    return load_encoder(settings.source, settings.revision, settings.allow_pytorch_bin)
