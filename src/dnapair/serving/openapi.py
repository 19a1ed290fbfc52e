"""What `GET /openapi.json` says of bodies and answers: models that describe, while `protocol` reads."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field
from pydantic.json_schema import models_json_schema

from dnapair.serving.protocol import CSV, JSON

Dna = Annotated[
    str, Field(min_length=1, description="DNA, plain or as overlapping k-mers with spaces between them.")
]


class Pair(BaseModel):
    """Two sequences."""

    seq1: Dna
    seq2: Dna


class Rows(BaseModel):
    """Pairs as rows below the names of their columns."""

    columns: Annotated[list[str], Field(min_length=2, description="seq1 and seq2, once each, and others.")]
    data: Annotated[list[list[Any]], Field(description="For each pair, one value a column.")]


class Columns(BaseModel):
    """Pairs as two lists of the same length."""

    seq1: list[Dna]
    seq2: list[Dna]


class Turned(BaseModel):
    """What a request may turn."""

    threshold: Annotated[
        float, Field(ge=0, le=1, description="Probability from which label is 1, not the model's own.")
    ]


class Body(BaseModel):
    """What all forms of a request have."""

    params: Turned | None = None


class DataframeRecords(Body):
    """MLflow's records: an object for each pair."""

    dataframe_records: list[Pair]


class DataframeSplit(Body):
    """MLflow's table: names, then rows."""

    dataframe_split: Rows


class Instances(Body):
    """TensorFlow Serving's rows: an object for each pair."""

    instances: list[Pair]


class Inputs(Body):
    """TensorFlow Serving's columns."""

    inputs: Columns


class Score(BaseModel):
    """What the model says of a pair."""

    probability: Annotated[float, Field(ge=0, le=1, description="Of the pair being related.")]
    label: Annotated[Literal[0, 1], Field(description="1 where the probability reaches the threshold.")]


class Scores(BaseModel):
    """A score for each pair, in the order of the request."""

    predictions: list[Score]


class Ready(BaseModel):
    """The model is loaded and warm."""

    status: Literal["ready"]


class Refusal(BaseModel):
    """Why there is no answer."""

    error_code: str
    message: str


_FORMS = (DataframeRecords, DataframeSplit, Instances, Inputs)
_, _schemas = models_json_schema(
    [(form, "validation") for form in _FORMS], ref_template="#/components/schemas/{model}"
)
BODY_SCHEMAS: dict[str, Any] = _schemas["$defs"]
"""Of a request for scores, by name. FastAPI does not see them, since the server reads bodies itself."""
BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            JSON: {
                "schema": {"oneOf": [{"$ref": f"#/components/schemas/{form.__name__}"} for form in _FORMS]},
                "example": {"dataframe_records": [{"seq1": "ACGTTGCAAGTC", "seq2": "ACGTTGCTAGTC"}]},
            },
            CSV: {"schema": {"type": "string"}, "example": "seq1,seq2\nACGTTGCAAGTC,ACGTTGCTAGTC\n"},
        },
    }
}
"""Of a request for scores, for ``openapi_extra`` of a route."""


def add_names(schemas: dict[str, Any], names: Sequence[tuple[str, str]]) -> None:
    """Say in the schemas of bodies that the two sequences may have other names than seq1 and seq2.

    Parameters
    ----------
    schemas
        Of the whole description, by name; changed in place.
    names
        The others, pair by pair.
    """
    for form in ("Pair", "Columns") if names else ():
        schema = schemas[form]
        usual = schema.pop("required")
        properties = [schema["properties"][name] for name in usual]
        for pair in names:
            schema["properties"] |= dict(zip(pair, properties, strict=True))
        schema["anyOf"] = [{"required": list(pair)} for pair in (usual, *names)]


def refusals(meanings: dict[int, str]) -> dict[int | str, dict[str, Any]]:
    """Describe what each status other than 200 means, as FastAPI's routes take it."""
    return {status: {"model": Refusal, "description": meaning} for status, meaning in meanings.items()}


LOADING = refusals({503: "The model is still being loaded."})
NOT_SCORED = refusals(
    {
        400: "What can't be scored, or is over a limit: the message names the pair, and the setting.",
        408: "The body took too long to arrive.",
        413: "The body is larger than serve.max_megabytes.",
        415: f"The content type is neither {JSON} nor {CSV}.",
        503: "The model is still being loaded, or too many requests wait.",
    }
)
