"""What `GET /openapi.json` says of the server's bodies and answers."""

from typing import Any

from dnapair.serving.protocol import COLUMNS, CSV, JSON

_SEQUENCE = {
    "type": "string",
    "minLength": 1,
    "description": "DNA, plain or as overlapping k-mers with spaces between them.",
}
_PAIR = {
    "type": "object",
    "properties": dict.fromkeys(COLUMNS, _SEQUENCE),
    "required": list(COLUMNS),
}
_PAIRS = {"type": "array", "items": _PAIR}
_SPLIT = {
    "type": "object",
    "properties": {
        "columns": {
            "type": "array",
            "items": {"type": "string"},
            "minItems": len(COLUMNS),
            "description": f"Names of the columns; {' and '.join(COLUMNS)} once each.",
        },
        "data": {
            "type": "array",
            "items": {"type": "array", "description": "A pair: one value a column."},
        },
    },
    "required": ["columns", "data"],
}
_BY_COLUMN = {
    "type": "object",
    "properties": {key: {"type": "array", "items": _SEQUENCE} for key in COLUMNS},
    "required": list(COLUMNS),
}
_FORMS = {
    "dataframe_records": _PAIRS,
    "dataframe_split": _SPLIT,
    "instances": _PAIRS,
    "inputs": _BY_COLUMN,
}
_SCORES = {
    "type": "object",
    "properties": {
        "predictions": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "probability": {"type": "number", "minimum": 0, "maximum": 1},
                    "label": {"enum": [0, 1]},
                },
                "required": ["probability", "label"],
            },
        }
    },
    "required": ["predictions"],
}
_ERROR = {
    "type": "object",
    "properties": {"error_code": {"type": "string"}, "message": {"type": "string"}},
    "required": ["error_code", "message"],
}

PAIRS_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            JSON: {
                "schema": {
                    "oneOf": [
                        {"type": "object", "properties": {form: content}, "required": [form]}
                        for form, content in _FORMS.items()
                    ]
                },
                "example": {"dataframe_records": [{"seq1": "ACGTTGCAAGTC", "seq2": "ACGTTGCTAGTC"}]},
            },
            CSV: {"schema": {"type": "string"}, "example": "seq1,seq2\nACGTTGCAAGTC,ACGTTGCTAGTC\n"},
        },
    }
}
"""The body of a request for scores."""


def answers(schema: dict[str, Any], errors: dict[int, str]) -> dict[int | str, dict[str, Any]]:
    """Describe a route's answers.

    Parameters
    ----------
    schema
        Of the answer with status 200.
    errors
        What each other status means.

    Returns
    -------
    dict
        As FastAPI's routes take it.
    """
    described: dict[int | str, dict[str, Any]] = {
        200: {"description": "The answer.", "content": {JSON: {"schema": schema}}}
    }
    for status, meaning in errors.items():
        described[status] = {"description": meaning, "content": {JSON: {"schema": _ERROR}}}
    return described


_LOADING = {503: "The model is still being loaded."}
READY = answers({"type": "object", "properties": {"status": {"const": "ready"}}}, _LOADING)
METADATA = answers({"type": "object"}, _LOADING)
VERSION = answers({"type": "string"}, {})
SCORES = answers(
    _SCORES,
    {
        400: "What can't be scored, or is over a limit: the message names the pair, and the setting.",
        408: "The body took too long to arrive.",
        413: "The body is larger than serve.max_megabytes.",
        415: f"The content type is neither {JSON} nor {CSV}.",
        503: "The model is still being loaded, or too many requests wait.",
    },
)
