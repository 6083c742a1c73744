"""The web application of an exported folder: `POST /predict`, `GET /health`, and the page `/docs` of FastAPI."""

from threading import Lock
from typing import Annotated, Any, Literal

from fastapi import FastAPI, HTTPException
from pydantic import Base64Bytes, BaseModel, ConfigDict, Field, create_model

from search.export.classifier import Classifier
from search.export.facts import FolderFacts
from search.serve.records import answers_to, example
from trainable.answers.answer import Cell
from trainable.errors import ConfigError

MOST_ROWS = 256
"""Rows of a request."""
MOST_BYTES = 32 * 2**20
"""Size of a request."""


class Health(BaseModel):
    """The application answers."""

    status: Literal["ok"] = "ok"


class Answered(BaseModel):
    """The answers to the rows of a request, in their order."""

    answers: list[dict[str, Cell | None]]
    """By the names of the columns that `transfersweep predict` adds; no values for a row without a text."""


def application(facts: FolderFacts, classifier: Classifier) -> FastAPI:
    """Return the application that answers rows with a model.

    Args:
        facts: of the exported folder.
        classifier: loaded from the folder.
    """
    answers = facts.answers()
    rows = "pairs of texts" if len(facts.text_columns) > 1 else f"{answers.content}s"
    app = FastAPI(title="transfersweep", description=answers.does(rows), max_body_size=MOST_BYTES)
    request = request_form(facts)
    one_at_a_time = Lock()  # a request uses all cores, and tokenizers cannot be shared between threads

    @app.get("/health")
    async def health() -> Health:
        return Health()

    @app.post("/predict")
    def predict(body: request) -> Answered:  # type: ignore[valid-type]
        try:
            with one_at_a_time:
                return Answered(answers=answers_to(_records(body), facts, classifier))
        except ConfigError as error:
            raise HTTPException(422, list(error.problems)) from None

    return app


def request_form(facts: FolderFacts) -> type[BaseModel]:
    """Return the form of a request: a list `rows`, each with the columns that the model reads."""
    fields: dict[str, Any] = {  # by numbers, as the name of a column need not be a name in Python
        f"column_{number}": (_kind(facts, number) | None, Field(alias=column))
        for number, column in enumerate(facts.text_columns)
    }
    row = create_model("Row", __config__=ConfigDict(json_schema_extra={"example": example(facts)}), **fields)
    rows: Any = Annotated[list[row], Field(min_length=1, max_length=MOST_ROWS)]  # type: ignore[valid-type]
    return create_model("Rows", rows=(rows, ...))


def _records(body: Any) -> list[dict[str, Any]]:
    """Return the rows of a request by column. `model_dump` would write images in base64 again."""
    return [{field.alias: getattr(row, name) for name, field in type(row).model_fields.items()} for row in body.rows]


def _kind(facts: FolderFacts, column: int) -> Any:
    """Return the type of a column's cells."""
    answers = facts.answers()
    if answers.content == "image":
        return Base64Bytes
    if answers.head == "every_token":
        return str | list[str]
    return list[str] if answers.lists_choices and not answers.choices and column == 1 else str
