"""For how long something in a ledger has stayed as it is, seen from one process.

Who holds something there changes it now and then. The clocks of machines differ and are set, and who looks once
cannot tell what they were; that a row changes is seen everywhere.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Final, NamedTuple

GAP_SECONDS: Final = 5.0
"""Where nobody looked for so long, it is not known whether anything changed meanwhile: the ledger was away, or this
process was stopped, and perhaps so were those who would have changed it."""


class _Seen(NamedTuple):
    value: object
    since: float
    last: float


class Silence:
    """Notes what rows are when somebody looks, and since when they were so.

    Example:
        >>> silence = Silence()
        >>> [silence.look({"a": value}, moment)["a"] for value, moment in [(1, 0), (1, 3), (2, 4), (2, 6)]]
        [0, 3, 0, 2]
    """

    def __init__(self) -> None:
        self._seen: dict[Hashable, _Seen] = {}

    def look(self, rows: Mapping[Hashable, object], moment: float) -> dict[Hashable, float]:
        """Note what some rows are now.

        Args:
            rows: By whatever names each of them, something that changes whenever it does.
            moment: Seconds on a clock of this process that nobody sets.

        Returns:
            For how many seconds each has been so, as far as somebody looked all the time.
        """
        recent = {key: s for key, s in self._seen.items() if moment - s.last <= GAP_SECONDS}
        for key, value in rows.items():
            before = recent.get(key)
            since = before.since if before is not None and before.value == value else moment
            recent[key] = _Seen(value, since, moment)
        self._seen = recent
        return {key: moment - recent[key].since for key in rows}
