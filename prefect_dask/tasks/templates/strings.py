"""StringFormatter: a template as `str.format` takes it."""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from typing import Any

from prefect_dask.task import Task
from prefect_dask.tasks.needs import value_of
from prefect_dask.tasks.templates.facts import Facts


class StringFormatter(Task):
    """Fills a template as `str.format` does, with its inputs and what the context knows.

    Args:
        template: The template; also an input of `run`, which wins. All other inputs are names in
            it.
        settings: As for `Task`.

    Raises:
        UnknownKey: It names something that is not there; the message says what is.
        ValueError: It names what is private, as in `{x.__class__}`: a template from elsewhere cannot
            reach into this process.

    Example:
        >>> StringFormatter("{name} on {day:%A}s").run(name="Ada", day=__import__("datetime").date(2026, 1, 5))
        'Ada on Mondays'
    """

    def __init__(self, template: str | None = None, **settings: Any) -> None:
        self.template = template
        super().__init__(**settings)

    def run(self, template: str | None = None, **format_kwargs: Any) -> str:
        text: str = value_of(self, "template", template)
        return Formatter().vformat(text, (), Facts(format_kwargs))


class Formatter(string.Formatter):
    """As `str.format`, but for names with an underscore in front."""

    def get_field(self, field_name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        if "._" in field_name:
            raise ValueError(f"the template names {field_name!r}, which is private")
        return super().get_field(field_name, args, kwargs)

    def get_value(self, key: int | str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        if isinstance(key, int):
            raise ValueError("the template has a {} without a name; inputs have names")
        return kwargs[key]
