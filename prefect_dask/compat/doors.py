"""Doors: modules that stand under an old name and hand on names of ours."""

from __future__ import annotations

from importlib import import_module
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, NamedTuple

from prefect_dask.compat.errors import OldNameGone
from prefect_dask.compat.table import GONE, SERVED
from prefect_dask.engine.errors import nearest


def served_module(old: str) -> ModuleType:
    """The module that stands under an old name: one of ours, or a door.

    Raises:
        OldNameGone: There is none; it is an ImportError.

    Example:
        >>> served_module("prefect.engine.signals").__name__
        'prefect_dask.engine.signals'
        >>> served_module("prefect.executors")
        <door 'prefect.executors'>
    """
    behind = SERVED.get(old)
    if behind is None:
        raise gone(old)
    if isinstance(behind, str):
        return import_module(behind)
    door = _doors.get(old)
    if door is None:
        door = _doors.setdefault(old, Door(old, behind))
    return door


def gone(old: str) -> OldNameGone:
    """The error that says what to use instead of an old module or name.

    Example:
        >>> gone("prefect.tasks.gcp.bigquery").name
        'prefect.tasks.gcp.bigquery'
        >>> gone("prefect.executors.DaskExecuter").advice
        "did you mean 'DaskExecutor'?"
    """
    above = old
    while above not in GONE:
        above, _, name = above.rpartition(".")
        if above in SERVED and above not in GONE:
            return OldNameGone(old, nearest(name, dir(served_module(above))))
    return OldNameGone(old, GONE[above])


class Door(ModuleType):
    """A module under an old name whose names are found elsewhere, when they are first asked for.

    What it hands on are the things themselves: classes and functions with the modules they have. A
    pickle of a door opens in any process, also where nobody asked for old names.

    Args:
        old: The old name.
        behind: Where its names lie, as in `table.SERVED`.
    """

    def __init__(self, old: str, behind: list[str]) -> None:
        super().__init__(old, f"What flow files import as {old}; see prefect_dask.compat.")
        self._places = [_place(text) for text in behind]
        self._children = sorted(
            name.removeprefix(f"{old}.") for name in SERVED if name.rpartition(".")[0] == old
        )
        self.__spec__ = ModuleSpec(
            old, None, origin="prefect_dask", is_package=bool(self._children)
        )
        if self._children:
            # Nothing lies on disk; that it is there makes this a package.
            self.__path__: list[str] = []

    def __getattr__(self, name: str) -> Any:
        if name == "__all__":
            return dir(self)
        if name.startswith("__") and name != "__version__":  # Python asks for many of these
            raise AttributeError(name)
        found = self._find(name)
        setattr(self, name, found)  # from now on without asking
        return found

    def _find(self, name: str) -> Any:
        for place in self._places:
            if place.name is None and name in public_names(import_module(place.module)):
                return getattr(import_module(place.module), name)
            if place.old_name == name:
                assert place.name is not None
                return getattr(import_module(place.module), place.name)
        full_name = f"{self.__name__}.{name}"
        if name in self._children:
            return served_module(full_name)
        if full_name in GONE:
            raise gone(full_name)
        # What is no attribute may be a module: Python asks for that next where it can be one.
        raise AttributeError(
            f"{self.__name__} has no name {name!r} in prefect_dask; {nearest(name, dir(self))}"
        )

    def __setattr__(self, name: str, value: Any) -> None:
        # Python notes each imported module in the package that it is below. Where a function or
        # class goes by the same name, as `case` does, that one is meant by the name.
        if isinstance(value, ModuleType) and self._offers(name):
            return
        super().__setattr__(name, value)

    def _offers(self, name: str) -> bool:
        return any(
            place.old_name == name
            or (place.name is None and name in public_names(import_module(place.module)))
            for place in self._places
        )

    def __dir__(self) -> list[str]:
        names = set(self._children)
        for place in self._places:
            if place.old_name is None:
                names |= public_names(import_module(place.module))
            else:
                names.add(place.old_name)
        return sorted(names)

    def __repr__(self) -> str:
        return f"<door {self.__name__!r}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return served_module, (self.__name__,)


_doors: dict[str, Door] = {}


class _Place(NamedTuple):
    module: str
    #: None for all public names of the module.
    name: str | None
    old_name: str | None


def _place(text: str) -> _Place:
    module, _, names = text.partition(":")
    name, _, old_name = names.partition(" as ")
    return _Place(module, name or None, old_name or name or None)


def public_names(module: ModuleType) -> frozenset[str]:
    """What a module offers: its `__all__`, or all of its own that begins without an underscore."""
    listed = module.__dict__.get("__all__")
    if listed is not None:
        return frozenset(listed)
    return frozenset(
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and not isinstance(value, ModuleType)
    )
