"""Children of maps that are done, in columns: State objects are made when somebody looks."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeAlias, overload

from .state import LazyResult, State, Success, state_at
from .stream import NodeId

#: Finds the result of an execution; None where it does not lie there.
ResultOf: TypeAlias = Callable[[NodeId], LazyResult | None]

#: So many different kinds fit in a byte beside 0, which says that a state is not folded.
MOST_KINDS = 255

#: What folded states have in common: message, tags, and where the result is where its node does not tell.
_Kind: TypeAlias = tuple[str | None, tuple[str, ...] | None, LazyResult | None]


class Folded:
    """Plain successes whose results lie elsewhere, by row: nine bytes each where a State takes 200."""

    __slots__ = ("_codes", "_kinds", "_of_row", "_times", "result_of")

    def __init__(self, count: int) -> None:
        self._of_row, self._times = bytearray(count), array("d", bytes(8 * count))
        self._kinds: list[_Kind] = [(None, None, None)]
        self._codes: dict[_Kind, int] = {}
        #: Finds results; nothing is folded without it.
        self.result_of: ResultOf | None = None

    def grow(self, count: int) -> None:
        """Add rows."""
        self._of_row += bytes(count)
        self._times.frombytes(bytes(8 * count))

    def has(self, row: int) -> bool:
        """Whether the state of a row is here."""
        return bool(self._of_row[row])

    def forget(self, row: int, count: int = 1) -> None:
        """Let go of the states of rows, if they are here."""
        self._of_row[row : row + count] = bytes(count)

    def fold(self, row: int, state: State) -> bool:
        """Take a state in, where it is one of those; whether it is in here now."""
        if (
            type(state) is not Success
            or state._lazy is None
            or self.result_of is None
            or state._cached_inputs is not None
        ):
            return False
        tags = state._context
        if tags is not None and type(tags) is not tuple:
            return False
        return self._note(row, (state.message, tags, None), state._time)

    def let_go(self, row: int, instead: LazyResult) -> bool:
        """Have a result that is not kept told by `instead`; whether the row is here."""
        if not self._of_row[row]:
            return False
        message, tags, _ = self._kinds[self._of_row[row]]
        return self._note(row, (message, tags, instead), self._times[row])

    def unfold(self, row: int, node: NodeId) -> State:
        """The state of a row that is here; it is not in here any more."""
        message, tags, instead = self._kinds[self._of_row[row]]
        self._of_row[row] = 0
        state = state_at(Success, self._times[row], message, None, tags)
        if instead is not None:
            state._lazy = instead
        elif self.result_of is not None:
            state._lazy = self.result_of(node)
        return state

    def _note(self, row: int, kind: _Kind, time: float) -> bool:
        code = self._codes.get(kind)
        if code is None:
            if len(self._codes) == MOST_KINDS:
                return False
            code = self._codes[kind] = len(self._kinds)
            self._kinds.append(kind)
        self._of_row[row], self._times[row] = code, time
        return True


class ChildStates(Sequence[State]):
    """The states of the children of a map, in order: a list of which each item is made when it is asked for.

    Args:
        count: How many there are.
        state_of: Gives that of child i.
        odd: The places of those that are not folded.
    """

    def __init__(
        self, count: int, state_of: Callable[[int], State], odd: Callable[[], Iterator[int]]
    ) -> None:
        self._count, self._state_of, self._odd = count, state_of, odd

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, place: int) -> State: ...
    @overload
    def __getitem__(self, place: slice) -> list[State]: ...
    def __getitem__(self, place: int | slice) -> State | list[State]:
        places = range(self._count)[place]
        if isinstance(places, range):
            return [self[each] for each in places]
        return self._state_of(places)

    def odd(self) -> Iterator[tuple[int, State]]:
        """Those that may be no plain successes, with their places; the others are not made for it."""
        return ((place, self[place]) for place in self._odd())

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, (list, ChildStates)):
            return NotImplemented
        return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]  # as a list

    def __repr__(self) -> str:
        return repr(list(self))

    def __reduce__(self) -> tuple[Any, ...]:
        return list, (list(self),)


def noteworthy(children: Sequence[State]) -> Iterable[tuple[int, State]]:
    """Of the children of a map, with their places: at least those that are no plain successes."""
    return children.odd() if isinstance(children, ChildStates) else enumerate(children)
