"""The settings of this process: `config.tasks.defaults.max_retries`.

Files and environment are read when a setting is first asked for, never by an import.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from prefect_dask.settings.errors import (
    NoHomeFolder,
    NoSuchSetting,
    SettingsError,
    SettingsFileDoesNotParse,
    SettingsFileUnreadable,
    UnfitSetting,
    UnknownProfile,
    UnknownSetting,
)
from prefect_dask.settings.schema import Schema, merge, put
from prefect_dask.settings.section import Section, only_read
from prefect_dask.settings.sources import (
    active_profile,
    home_folder,
    read_schema,
    read_settings,
)

__all__ = [
    "Config",
    "NoHomeFolder",
    "NoSuchSetting",
    "Section",
    "SettingsError",
    "SettingsFileDoesNotParse",
    "SettingsFileUnreadable",
    "UnfitSetting",
    "UnknownProfile",
    "UnknownSetting",
    "active_profile",
    "config",
    "home_folder",
    "set_temporary_config",
]


class Config:
    """The settings that hold now; read by attribute or by key, as a `Section`.

    There is one for a process, `config`. What `set_temporary_config` says holds in all of its
    threads.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._schema: Schema | None = None
        self._lasting: dict[str, Any] = {}
        #: One entry for each `set_temporary_config` block under way, the one that began last last.
        self._temporary: list[dict[str, Any]] = []
        self._now: Section | None = None

    def current(self) -> Section:
        """The settings of this moment; the section stays as it is when they change.

        Raises:
            SettingsError: A file or a variable is wrong; asked again, it is read again.
        """
        now = self._now
        if now is None:
            with self._lock:
                now = self._now or self._read()
        return now

    def reload(self) -> Section:
        """Read files and environment again; temporary settings stay.

        Raises:
            SettingsError: A file or a variable is wrong. The settings are then as they were.
        """
        with self._lock:
            return self._read()

    def to_dict(self, *, include_secrets: bool = False) -> dict[str, Any]:
        """All settings of this moment as plain nested dicts, to show or to send elsewhere."""
        return self.current().to_dict(include_secrets=include_secrets)

    @contextmanager
    def _changed(self, settings: Mapping[str, Any]) -> Iterator[Section]:
        with self._lock:
            self.current()
            layer = self._fit(settings)
            self._temporary.append(layer)
            now = self._combine()
        try:
            yield now
        finally:
            with self._lock:
                # By identity: another thread may have begun a block with the same settings.
                self._temporary = [other for other in self._temporary if other is not layer]
                self._combine()

    def _read(self) -> Section:
        schema = self._schema or read_schema()
        self._lasting = read_settings(schema, os.environ)
        self._schema = schema
        return self._combine()

    def _combine(self) -> Section:
        combined = self._lasting
        for layer in self._temporary:
            combined = merge(combined, layer)
        now = self._now = Section(combined)
        return now

    def _fit(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        assert self._schema is not None
        table: dict[str, Any] = {}
        for key, value in settings.items():
            part: dict[str, Any] = {}
            put(part, key.split("."), value)
            table = merge(table, part)
        return self._schema.fit(table, lambda _: "set_temporary_config")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # not a setting; and what only asks for those reads no files
            raise AttributeError(name)
        return getattr(self.current(), name)

    def __getitem__(self, name: str) -> Any:
        return self.current()[name]

    def __contains__(self, name: object) -> bool:
        return name in self.current()

    def __iter__(self) -> Iterator[str]:
        return iter(self.current())

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self.current()})

    def __setattr__(self, name: str, value: object) -> None:
        if not name.startswith("_"):
            raise TypeError(only_read(name))
        super().__setattr__(name, value)

    def __repr__(self) -> str:
        return (
            "<Config: not read yet>" if self._now is None else f"<Config: {self._now._shown()!r}>"
        )

    def __reduce__(self) -> str:
        # In another process it is that process's configuration.
        return "config"


config = Config()


@contextmanager
def set_temporary_config(settings: Mapping[str, Any]) -> Iterator[Section]:
    """A block within which some settings are others, in all threads of this process.

    Blocks may nest; the innermost wins. Where blocks of several threads overlap, the one that
    began last wins, and the end of each takes back its own settings only.

    Args:
        settings: Values by dotted name; a section's name takes a table.

    Raises:
        UnknownSetting: A name is no setting, and not below `user` or `context`.
        UnfitSetting: A value cannot be taken.

    Example:
        >>> with set_temporary_config({"tasks.defaults.max_retries": 3}):
        ...     config.tasks.defaults.max_retries
        3
    """
    with config._changed(settings) as section:
        yield section
