"""The base class of every block of settings: a frozen value that reports all of its mistakes at once."""

from collections.abc import Iterator, Mapping
from typing import Any, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    ModelWrapValidatorHandler,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError, PydanticKnownError

from trainable.settings.mistake_messages import CLASH, alternatives
from trainable.settings.values import Nested


class Strict(BaseModel):
    """A frozen value that refuses unknown fields and reports all mistakes at once."""

    # The docstrings below the fields become the descriptions of the JSON Schema.
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)

    @classmethod
    def clashes(cls, given: Nested) -> Iterator[tuple[str, str]]:
        """Yield mistakes that depend on several fields, each as a dotted name and a sentence.

        Args:
            given: the settings as the user wrote them; each may be of a wrong type.
        """
        yield from ()

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_value_as_number(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse true and false in place of a number, as pydantic would convert them to 1 and 0."""
        if isinstance(value, bool) and info.field_name:
            types = alternatives(cls.model_fields[info.field_name].annotation)
            if bool not in types and (int in types or float in types):
                raise PydanticKnownError("int_type")
        return value

    @model_validator(mode="wrap")
    @classmethod
    def _all_at_once(cls, given: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        """Report clashes even if single fields have mistakes, too, which pydantic alone does not."""
        clashes = cls.clashes(given) if isinstance(given, Mapping) else ()
        errors = [_error(tuple(filter(None, name.split("."))), sentence, given) for name, sentence in clashes]
        try:
            made = handler(given)
        except ValidationError as error:
            errors = [*map(_to_init_error, error.errors()), *errors]
            raise ValidationError.from_exception_data(cls.__name__, errors) from None
        if errors:
            raise ValidationError.from_exception_data(cls.__name__, errors)
        return made


def _error(path: tuple[int | str, ...], sentence: str, given: Any) -> InitErrorDetails:
    return {"type": PydanticCustomError(CLASH, "{sentence}", {"sentence": sentence}), "loc": path, "input": given}


def _to_init_error(error: ErrorDetails) -> InitErrorDetails:
    """Convert an error that pydantic raised, so that it can be raised again together with others."""
    path = error["loc"]
    if error["type"] == CLASH:
        return _error(path, error["msg"], error["input"])
    return {"type": error["type"], "loc": path, "input": error["input"], "ctx": error.get("ctx", {})}
