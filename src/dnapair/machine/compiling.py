"""Functions that Numba compiles."""

from collections.abc import Callable
from typing import Any

from numba import njit


def compiled(function: Callable[..., Any]) -> Any:
    """Compile a function, once for all processes where there is a place to keep the result.

    It runs without Python's lock, and divides by zero as NumPy does: a loop that may raise is no vector.
    """
    try:
        return njit(nogil=True, error_model="numpy", cache=True)(function)
    except RuntimeError:
        # neither the package's folder nor the user's can be written to
        return njit(nogil=True, error_model="numpy")(function)
