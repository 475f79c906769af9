"""What can be wrong with a schedule; each is a ValueError and is raised when it is made."""

from __future__ import annotations

from prefect_dask.engine.errors import PrefectDaskError


class WrongSchedule(PrefectDaskError, ValueError):
    """A clock, filter or adjustment is told something that cannot be."""

    def __init__(self, what: str, reason: str) -> None:
        super().__init__(f"{what}: {reason}")
        self.what, self.reason = what, reason


class WrongScheduleType(WrongSchedule, TypeError):
    """A clock, filter or adjustment is told something of a kind that it cannot use."""


class WrongCron(PrefectDaskError, ValueError):
    """Cron text that does not parse; `position` is the index in the text of what is wrong."""

    def __init__(self, text: str, position: int, reason: str) -> None:
        super().__init__(f"cron text {text!r}, character {position + 1}: {reason}")
        self.text, self.position, self.reason = text, position, reason


class MissingScheduleLibrary(PrefectDaskError, ImportError):
    """A clock needs a library that is not installed."""

    def __init__(self, clock: str, library: str) -> None:
        super().__init__(
            f"{clock} needs {library}, which is not installed; "
            "install it with: pip install 'prefect-dask[schedules]'"
        )
        self.clock, self.library = clock, library
