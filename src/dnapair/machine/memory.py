"""How the C library treats freed memory."""

import ctypes

_M_MMAP_THRESHOLD = -3
_LARGE = 2**20


def return_freed_arrays() -> None:
    """Have arrays of 1 MB and more go back to the system as soon as they are freed.

    glibc keeps freed arrays of up to 32 MB for later ones, so a process that makes many of different sizes
    takes up far more than it uses. Without glibc this does nothing. Not for training: a step makes and
    frees large arrays all the time, and is faster where they are kept.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGE)
