"""Settings as code reads them: by attribute, by key, never to be changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NoReturn

from prefect_dask.settings.errors import NoSuchSetting
from prefect_dask.settings.schema import SECRETS


class Section(Mapping[str, Any]):
    """A table of settings. It does not change; a pickle of it is what it was.

    Args:
        table: Names and values; tables in it become sections, lists become tuples.
        path: The names that lead here from the whole.

    Example:
        >>> settings = Section({"tasks": {"defaults": {"max_retries": 3}}})
        >>> settings.tasks.defaults.max_retries
        3
        >>> settings["tasks"]
        <Section tasks: {'defaults': {'max_retries': 3}}>
    """

    __slots__ = ("_path", "_table")
    _path: tuple[str, ...]
    _table: dict[str, Any]

    def __init__(self, table: Mapping[str, Any], path: tuple[str, ...] = ()) -> None:
        object.__setattr__(self, "_path", path)
        frozen = {name: _frozen(value, (*path, name)) for name, value in table.items()}
        object.__setattr__(self, "_table", frozen)

    def __getitem__(self, name: str) -> Any:
        return self._table[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._table)

    def __len__(self) -> int:
        return len(self._table)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # Python and IPython ask objects for many of these
            raise AttributeError(name)
        try:
            return self._table[name]
        except KeyError:
            known = [] if self._path[:2] == SECRETS else list(self._table)
            raise NoSuchSetting(".".join((*self._path, name)), known) from None

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self._table})

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise TypeError(only_read(".".join((*self._path, name))))

    def __delattr__(self, name: str) -> NoReturn:
        raise TypeError(only_read(".".join((*self._path, name))))

    def to_dict(self, *, include_secrets: bool = False) -> dict[str, Any]:
        """The section as plain nested dicts and lists, which are the caller's own.

        Args:
            include_secrets: Whether `context.secrets` has its values; otherwise it is empty.
        """
        if self._path[:2] == SECRETS and not include_secrets:
            return {}
        return {name: _plain(value, include_secrets) for name, value in self._table.items()}

    def __repr__(self) -> str:
        name = " ".join(("Section", ".".join(self._path))).rstrip()
        return f"<{name}: {self._shown()!r}>"

    def _shown(self) -> dict[str, Any]:
        if self._path[:2] == SECRETS:
            return {name: _Hidden() for name in self._table}
        return {
            name: value._shown() if isinstance(value, Section) else value
            for name, value in self._table.items()
        }

    def __reduce__(self) -> tuple[Any, ...]:
        return Section, (self.to_dict(include_secrets=True), self._path)


def only_read(key: str) -> str:
    """What to tell somebody who sets or deletes a setting."""
    return (
        f"settings are only read; to change {key!r} for a while write "
        f"`with set_temporary_config({{{key!r}: …}}):`"
    )


class _Hidden:
    def __repr__(self) -> str:
        return "***"


def _frozen(value: Any, path: tuple[str, ...]) -> Any:
    if isinstance(value, Mapping):
        return Section(value, path)
    if isinstance(value, list):
        return tuple(_frozen(item, path) for item in value)
    return value


def _plain(value: Any, include_secrets: bool) -> Any:
    if isinstance(value, Section):
        return value.to_dict(include_secrets=include_secrets)
    if isinstance(value, tuple):
        return [_plain(item, include_secrets) for item in value]
    return value
