"""Parameter: an input of the whole flow, given when it is run."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, ClassVar, Final

from prefect_dask.engine.context import context
from prefect_dask.engine.graph import ShownAs
from prefect_dask.engine.signals import FAIL
from prefect_dask.task import FlowLike, Task

if TYPE_CHECKING:
    from typing_extensions import Self


class _NoDefault:
    def __repr__(self) -> str:
        return "<no default>"

    def __reduce__(self) -> str:
        return "NO_DEFAULT"


NO_DEFAULT: Final = _NoDefault()


class Parameter(Task):
    """A value that is given when the flow is run. It is a task without upstream tasks.

    Args:
        name: The parameter's name, unique in a flow.
        default: The value when none is given. With a default, also None, the parameter is optional.
        required: Whether a value must be given; when not said, it must where there is no default.
        tags: Words to find it by.

    Example:
        >>> Parameter("path"), Parameter("limit", default=None).required
        (<Parameter: path>, False)
    """

    shown_as: ClassVar[ShownAs] = "parameter"

    def __init__(
        self,
        name: str,
        default: Any = NO_DEFAULT,
        required: bool | None = None,
        tags: Iterable[str] | None = None,
        **settings: Any,
    ) -> None:
        self.required = default is NO_DEFAULT if required is None else required
        self.default = None if default is NO_DEFAULT else default
        settings.setdefault("checkpoint", False)
        super().__init__(name=name, slug=name, tags=tags, **settings)

    def run(self) -> Any:
        values = context.get("parameters") or {}
        if self.name in values:
            return values[self.name]
        if self.required:
            raise FAIL(f"parameter {self.name!r} needs a value, and was given none")
        return self.default

    def copy(self, **task_args: Any) -> Self:
        """A copy, most often with another name: a flow holds one parameter of a name."""
        new = super().copy(**task_args)
        new.slug = new.name
        return new

    def __call__(self, *args: Any, flow: FlowLike | None = None, **kwargs: Any) -> Self:
        """Add this parameter to the flow."""
        return self.bind(*args, flow=flow, **kwargs)

    def __repr__(self) -> str:
        return f"<Parameter: {self.__dict__.get('name', '')}>"


class DateTimeParameter(Parameter):
    """A moment, given as a datetime or as ISO 8601 text; tasks get an aware datetime.

    Without an offset the text, or the datetime, means UTC.
    """

    def run(self) -> datetime | None:
        value = super().run()
        if value is None or value == "":
            return None
        try:
            return parse_moment(value)
        except (TypeError, ValueError) as exc:
            raise ValueError(f"parameter {self.name!r}: {exc}") from exc


_MOMENT = re.compile(
    r"(\d{4})-?(\d\d)-?(\d\d)"
    r"(?:[T ](\d\d)(?::?(\d\d)(?::?(\d\d)(?:[.,](\d+))?)?)?)?"
    r" ?(Z|UTC|[+-]\d\d(?::?\d\d)?)?",
    re.ASCII | re.IGNORECASE,
)


def parse_moment(value: Any) -> datetime:
    """An aware datetime, from a datetime or from text such as 2024-05-01T12:30:00.5+02:00.

    Without an offset it is taken as UTC.

    The same on every version of Python, which read ISO 8601 differently.

    Raises:
        TypeError: `value` is neither.
        ValueError: The text names no moment.

    Example:
        >>> parse_moment("2024-05-01T12:30Z").isoformat()
        '2024-05-01T12:30:00+00:00'
    """
    if isinstance(value, datetime):
        return value if value.tzinfo is not None else value.replace(tzinfo=timezone.utc)
    if not isinstance(value, str):
        raise TypeError(f"a datetime or ISO 8601 text is wanted, got {value!r}")
    match = _MOMENT.fullmatch(value.strip())
    if match is None:
        raise ValueError(f"{value!r} is no moment in ISO 8601, such as 2024-05-01T12:30:00+02:00")
    year, month, day, hour, minute, second = (int(part or 0) for part in match.groups()[:6])
    microsecond = int((match[7] or "0")[:6].ljust(6, "0"))
    try:
        return datetime(
            year, month, day, hour, minute, second, microsecond, tzinfo=_zone(match[8] or "Z")
        )
    except ValueError as exc:
        raise ValueError(f"{value!r} is no moment: {exc}") from exc


def _zone(offset: str) -> timezone:
    if offset[0] not in "+-":
        return timezone.utc
    digits = offset[1:].replace(":", "")
    size = timedelta(hours=int(digits[:2]), minutes=int(digits[2:] or 0))
    return timezone(-size if offset[0] == "-" else size)
