"""How long what kind of task runs takes, as far as this process has seen it."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

#: How many of the latest runs of a kind count: enough to see one slow run in a hundred, few enough to follow
#: a change.
WINDOW = 500


class Durations:
    """Running means, by kind; a later run of a flow begins with what an earlier one showed."""

    def __init__(self) -> None:
        self._means: dict[Hashable, tuple[int, float]] = {}

    def note(self, kind: Hashable, seconds: float) -> None:
        """Count a run in."""
        count, mean = self._means.get(kind, (0, 0.0))
        count = min(count + 1, WINDOW)
        self._means[kind] = (count, mean + (max(0.0, seconds) - mean) / count)

    def of(self, kinds: Sequence[Hashable]) -> float | None:
        """What runs of these kinds take together, seconds; None while one of them was never seen."""
        seconds = 0.0
        for kind in kinds:
            if kind not in self._means:
                return None
            seconds += self._means[kind][1]
        return seconds


#: What this process has seen.
SEEN = Durations()
