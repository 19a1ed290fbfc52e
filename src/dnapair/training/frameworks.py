"""The learner of each framework."""

from typing import TYPE_CHECKING

from dnapair.errors import DnapairError
from dnapair.networks.spec import NetworkSpec
from dnapair.training.learner import Learner, LearnerSettings

if TYPE_CHECKING:
    from dnapair.training.tensorflow_learner import TensorflowLearner
    from dnapair.training.torch_learner import TorchLearner


def make_learner(framework: str, spec: NetworkSpec, settings: LearnerSettings) -> Learner:
    """Make a learner; only its own framework is imported.

    Parameters
    ----------
    framework
        ``torch`` or ``tensorflow``.
    spec
        The network.
    settings
        How its weights change.

    Returns
    -------
    Learner
        With the initial weights of ``settings.seed``, the same in both frameworks.

    Raises
    ------
    DnapairError
        If there is no such framework.
    """
    return load_framework(framework)(spec, settings)


def load_framework(framework: str) -> "type[TorchLearner] | type[TensorflowLearner]":
    """Import a framework; return its learner's class.

    Raises
    ------
    DnapairError
        If there is no such framework.
    """
    if framework == "torch":
        from dnapair.training.torch_learner import TorchLearner

        return TorchLearner
    if framework == "tensorflow":
        from dnapair.training.tensorflow_learner import TensorflowLearner

        return TensorflowLearner
    raise DnapairError(f"There is no framework {framework!r}. Choose torch or tensorflow.")
