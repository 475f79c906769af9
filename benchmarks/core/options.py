"""What whoever runs the benchmarks may choose."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from benchmarks.core.rows import Row


@dataclass(frozen=True, slots=True)
class Options:
    """How large and how often.

    Attributes:
        scale: Share of the sizes that the bars speak of; 1 is what they are meant for.
        rounds: Rounds a median is taken of, after one to warm up; what takes minutes a round is run once.
        threads_only: Whether clusters live in this process: they start at once, and no figure means anything.
    """

    scale: float = 1.0
    rounds: int = 5
    threads_only: bool = False

    def size(self, full: int, *, least: int = 4) -> int:
        """A size at this scale.

        >>> Options(scale=0.01).size(10_000), Options(scale=0.01).size(20)
        (100, 4)
        """
        return max(min(full, least), round(full * self.scale))


#: Answers a question in one row or several.
Question: TypeAlias = Callable[[Options], list[Row]]

#: The questions of one file by name; names are chosen by how they begin.
Questions: TypeAlias = Mapping[str, Question]
