"""StringFormatter: a template as `str.format` takes it."""

from __future__ import annotations

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

    Example:
        >>> StringFormatter("{name} on {day:%A}s").run(name="Ada", day=__import__("datetime").date(2026, 1, 5))
        'Ada on Mondays'
    """

    def __init__(self, template: str | None = None, **settings: Any) -> None:
        self.template = template
        super().__init__(**settings)

    def run(self, template: str | None = None, **format_kwargs: Any) -> str:
        text: str = value_of(self, "template", template)
        return text.format_map(Facts(format_kwargs))
