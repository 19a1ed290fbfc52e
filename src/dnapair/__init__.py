"""dnapair tells related DNA from unrelated DNA."""

__version__ = "0.1.0"
