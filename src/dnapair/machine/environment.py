"""What is set for libraries before any of them is loaded."""

import gc
import os

ENVIRONMENT = {
    "GIT_PYTHON_REFRESH": "quiet",
    "GX_ANALYTICS_ENABLED": "false",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    # half a minute for a tracking server that is gone, three for one that hangs; MLflow's own are many
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "4",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    # `dnapair run` names the page of the whole run once, in place of two lines for each stage
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    # threads that wait by spinning make training many times slower where other processes use the cores
    "OMP_WAIT_POLICY": "PASSIVE",
    "RAY_USAGE_STATS_ENABLED": "0",
    "TF_CPP_MIN_LOG_LEVEL": "3",
}
"""No telemetry, pickle, chatter or spinning of the libraries, unless the environment says otherwise."""
_COLLECTED_AFTER = 5000


def set_environment() -> None:
    """Set it all for this process."""
    # what imports make stays: to look through it at each 700 new objects takes up to a fifth of their time
    gc.set_threshold(_COLLECTED_AFTER)
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
