"""What the networks of the stages read: artifacts/normalized, as a network takes it."""

from collections.abc import Mapping
from typing import Any

from dnapair.errors import DnapairError
from dnapair.networks.spec import NetworkSpec
from dnapair.stages import paths
from dnapair.storage.files import sha256
from dnapair.storage.matrix import MatrixFile
from dnapair.training.loop import Matrices


def specify(network: Mapping[str, Any]) -> NetworkSpec:
    """Build the network of reports/best_hyperparameters.json for the data that is there.

    Parameters
    ----------
    network
        The section ``network`` of params.yaml, with ``inputs`` and ``symmetric`` settled.

    Returns
    -------
    NetworkSpec
        As wide at its inputs as the scaled data.
    """
    shape = {name: value for name, value in network.items() if name != "inputs"}
    inputs = network["inputs"]
    return NetworkSpec.from_json(
        {
            **shape,
            "dimensions": MatrixFile(paths.SCALED).shape[1],
            "embeddings": inputs != "interactions",
            "interactions": 0 if inputs == "embeddings" else MatrixFile(paths.SCALED_INTERACTIONS).shape[1],
        }
    )


def identify_interactions() -> str:
    """Return the SHA-256 of the layout and columns of the scaled interactions."""
    return sha256(paths.INTERACTION_LAYOUT)


def open_matrices(spec: NetworkSpec, trained_on: str | None = None) -> Matrices:
    """Open what a network takes of artifacts/normalized.

    Parameters
    ----------
    spec
        The network.
    trained_on
        What :func:`identify_interactions` said when it was trained; None: it is not trained yet.

    Raises
    ------
    DnapairError
        If it was trained on interactions of other settings.
    """
    if not spec.interactions:
        return Matrices(MatrixFile(paths.SCALED))
    interactions = MatrixFile(paths.SCALED_INTERACTIONS)
    if trained_on not in (None, identify_interactions()) or interactions.shape[1] != spec.interactions:
        raise DnapairError(
            f"The network was trained on interactions of other settings than those of {paths.NORMALIZED}: "
            f"{spec.interactions} of a pair, and there are {interactions.shape[1]}. Train it again: "
            "dvc repro train"
        )
    return Matrices(MatrixFile(paths.SCALED) if spec.embeddings else None, interactions)
