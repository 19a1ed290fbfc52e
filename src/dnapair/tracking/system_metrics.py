"""What the machine does meanwhile: CPU, memory, disk, network and GPU, logged with stages that take long."""

import logging
import threading

import psutil
from mlflow.environment_variables import MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING
from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

PREFIX = "system/"
_LONG_S = 60.0
# its lines would stand between those of the work
logging.getLogger("mlflow.system_metrics").setLevel(logging.CRITICAL)
_measured: dict[str, tuple[threading.Timer, SystemMetricsMonitor]] = {}


def measure(run: str) -> None:
    """Log what the machine does to a run, from its second minute to its end.

    MLflow's own variable has the last word: with MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING=true it is logged from
    the beginning, with false not at all.

    Parameters
    ----------
    run
        Its id.
    """
    wanted = MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING.get()  # type: ignore[no-untyped-call]
    if MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING.is_set() and not wanted:  # type: ignore[no-untyped-call]
        return
    monitor = SystemMetricsMonitor(run)  # type: ignore[no-untyped-call]
    # it tells the share since it was asked last, and nothing the first time
    psutil.cpu_percent()
    timer = threading.Timer(0.0 if wanted else _LONG_S, monitor.start)
    timer.daemon = True
    timer.start()
    _measured[run] = timer, monitor


def end_measuring(run: str) -> None:
    """Log no more to a run."""
    if run in _measured:
        timer, monitor = _measured.pop(run)
        timer.cancel()
        monitor.finish()  # type: ignore[no-untyped-call]
