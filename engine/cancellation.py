"""That the bodies of a flow run are asked to end: a flag in each process in which they run."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Cancellation:
    """Whether the bodies of a run are asked to end by themselves.

    It belongs to one process: what travels to another one begins there as a flag of its own, which somebody there
    has to set.

    Example:
        >>> cancellation = Cancellation()
        >>> with cancellation.followed_by(lambda: print("asked")):
        ...     cancellation.ask()
        asked
        >>> cancellation.is_asked
        True
    """

    __slots__ = ("_followers", "_lock", "is_asked")

    def __init__(self) -> None:
        self.is_asked = False
        self._followers: list[Callable[[], None]] = []
        self._lock = threading.Lock()

    def ask(self) -> None:
        """Ask them, once; from any thread."""
        with self._lock:
            if self.is_asked:
                return
            self.is_asked = True
            followers = list(self._followers)
        for tell in followers:
            tell()

    @contextmanager
    def followed_by(self, tell: Callable[[], None]) -> Iterator[None]:
        """A block within which `tell` is called, once, where bodies are asked or were so before."""
        with self._lock:
            self._followers.append(tell)
            was_asked = self.is_asked
        try:
            if was_asked:
                tell()
            yield
        finally:
            with self._lock:
                self._followers.remove(tell)

    def __reduce__(self) -> tuple[type[Cancellation], tuple[()]]:
        return Cancellation, ()
