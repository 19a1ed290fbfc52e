"""What the networks of the stages read: artifacts/normalized, as a network takes it."""

from collections.abc import Mapping
from typing import Any

from dnapair.errors import DnapairError
from dnapair.networks.spec import NetworkSpec
from dnapair.stages import paths
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


def open_matrices(spec: NetworkSpec) -> Matrices:
    """Open what a network takes of artifacts/normalized.

    Raises
    ------
    DnapairError
        If it was trained on interactions of other settings.
    """
    interactions = MatrixFile(paths.SCALED_INTERACTIONS) if spec.interactions else None
    if interactions is not None and interactions.shape[1] != spec.interactions:
        raise DnapairError(
            f"The network takes {spec.interactions} interactions of a pair, but "
            f"{paths.SCALED_INTERACTIONS} has {interactions.shape[1]}: it was trained "
            "with other settings. Train it again: dvc repro train"
        )
    return Matrices(MatrixFile(paths.SCALED) if spec.embeddings else None, interactions)
