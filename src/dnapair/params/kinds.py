"""What a setting may be, for the sections."""

from typing import Annotated

from pydantic import AfterValidator, Field


def _one_line(text: str) -> str:
    if not text.isprintable():
        raise ValueError(
            r"holds a line break, a tab or the like: in double quotes, YAML makes that of \n and \t. Write "
            r"the path without quotes, or in single ones: 'C:\new'"
        )
    return text


Positive = Annotated[int, Field(ge=1)]
Count = Annotated[int, Field(ge=0)]
Seed = Annotated[int, Field(ge=1, lt=2**31)]
BatchSize = Annotated[int, Field(ge=2)]
Width = Annotated[int, Field(ge=1, le=65536)]
AboveZero = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
BelowOne = Annotated[float, Field(ge=0, lt=1)]
Rate = Annotated[float, Field(gt=0, le=1)]
Place = Annotated[str, Field(min_length=1), AfterValidator(_one_line)]
"""A path, or a name that may be one."""
