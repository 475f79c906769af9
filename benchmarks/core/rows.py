"""A row of the table: a figure of ours, the same of raw Dask, and the bar that one of them is held to."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Bar:
    """What is asked of a row.

    Attributes:
        limit: The number itself.
        of: What is held to it: the ratio ours / raw, or our figure alone.
        at_least: Whether more is better.
        below: Whether the limit itself is too much.
    """

    limit: float
    of: Literal["ratio", "ours"] = "ratio"
    at_least: bool = False
    below: bool = False

    def is_met(self, value: float) -> bool:
        """Whether a ratio or a figure passes.

        >>> Bar(0.5).is_met(0.5), Bar(0.5, below=True).is_met(0.5), Bar(1, at_least=True).is_met(0.9)
        (True, False, False)
        """
        if self.at_least:
            return value >= self.limit
        return value < self.limit if self.below else value <= self.limit

    def __str__(self) -> str:
        sign = "≥" if self.at_least else "<" if self.below else "≤"
        return f"{sign} {self.limit:g}{'×' if self.of == 'ratio' else ''}"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table.

    Attributes:
        work: What was run, and where.
        unit: What `ours` and `raw` are in.
        ours: Our figure, a median where there were rounds.
        raw: That of raw Dask; None where it has no such thing.
        bar: What is asked; None where the row is there to be looked at.
        tasks: How many task runs it was.
        ratios: Of each round, lowest and highest: how far the machine is to be trusted.
        notes: Further figures, for whoever wants to know why.
    """

    work: str
    unit: str
    ours: float
    raw: float | None
    bar: Bar | None
    tasks: int
    ratios: tuple[float, float] | None = None
    notes: dict[str, Any] = field(default_factory=dict)

    @property
    def ratio(self) -> float | None:
        return self.ours / self.raw if self.raw else None

    @property
    def is_met(self) -> bool | None:
        """Whether the bar is met; None where there is none."""
        if self.bar is None:
            return None
        value = self.ratio if self.bar.of == "ratio" else self.ours
        return value is not None and self.bar.is_met(value)

    def as_json(self) -> dict[str, Any]:
        """Everything, for a file."""
        bar = None if self.bar is None else str(self.bar)
        return {**asdict(self), "ratio": self.ratio, "bar": bar, "is_met": self.is_met}


HEADER = (
    f"{'work':<52} {'tasks':>9} {'ours':>10} {'raw Dask':>10} {'unit':<9} {'ratio':>7} "
    f"{'spread':>13}  {'bar':<8} met"
)


def line(row: Row) -> str:
    """The row as a line below `HEADER`."""
    raw = "–" if row.raw is None else figure(row.raw)
    ratio = "–" if row.ratio is None else f"{row.ratio:.3f}"
    spread = "" if row.ratios is None else f"{row.ratios[0]:.3f}–{row.ratios[1]:.3f}"
    met = {True: "yes", False: "NO", None: ""}[row.is_met]
    return (
        f"{row.work:<52} {row.tasks:>9,} {figure(row.ours):>10} {raw:>10} {row.unit:<9} {ratio:>7} "
        f"{spread:>13}  {row.bar or '–'!s:<8} {met}"
    ).rstrip()


def figure(value: float) -> str:
    """A number with the digits that mean something.

    >>> figure(5847.9), figure(34.06), figure(0.1234), figure(-0.02)
    ('5,848', '34.1', '0.123', '-0.020')
    """
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.3f}"
