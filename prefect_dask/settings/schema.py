"""Which settings there are, and whether a value fits one: pure functions of `defaults.toml`."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal, TypeAlias, cast, get_args

from prefect_dask.settings.errors import UnfitSetting, UnknownSetting

Kind: TypeAlias = Literal["bool", "int", "float", "str", "list", "seconds"]
Path: TypeAlias = tuple[str, ...]

WANTED: dict[Kind, str] = {
    "bool": "true or false",
    "int": "a whole number",
    "float": "a number",
    "str": "text",
    "list": "a list of texts",
    "seconds": "a number of seconds, 0 or more",
}

#: Sections that users fill as they like. What stands in SECRETS is never shown.
FREE_FORM = ("user", "context")
SECRETS = ("context", "secrets")

_YES_NO = {
    **dict.fromkeys(("true", "yes", "on", "1"), True),
    **dict.fromkeys(("false", "no", "off", "0"), False),
}


class DoesNotFit(Exception):
    """A value that a setting cannot take; becomes an UnfitSetting that says where it stands."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting: its name, what it may be, and what it is when nobody says otherwise."""

    key: str
    kind: Kind
    default: Any = None
    is_optional: bool = False
    one_of: tuple[str, ...] = ()
    at_least: float | None = None

    @property
    def wanted(self) -> str:
        """What to give, in words."""
        text = " or ".join(self.one_of) if self.one_of else WANTED[self.kind]
        if self.at_least is not None:
            text += f", {self.at_least:g} or more"
        return text + (', or "" for not set' if self.is_optional else "")

    def fit(self, value: object) -> Any:
        """The value as this setting holds it.

        Raises:
            DoesNotFit: It is of another type, or out of bounds.
        """
        if self.is_optional and (value is None or value == ""):
            return None
        fitted = self._fit_kind(value)
        if self.one_of:
            fitted = next((word for word in self.one_of if word.lower() == fitted.lower()), None)
            if fitted is None:
                raise DoesNotFit
        if self.at_least is not None and fitted < self.at_least:
            raise DoesNotFit
        return fitted

    def _fit_kind(self, value: object) -> Any:
        if self.kind == "seconds" and isinstance(value, timedelta):
            value = value.total_seconds()
        match self.kind, value:
            case ("bool", bool()) | ("str", str()):
                return value
            case (_, bool()):  # an int to Python, but nobody means it as a number
                raise DoesNotFit
            case ("int", int()):
                return value
            case ("float", float() | int()) if math.isfinite(value):
                return float(value)
            case ("seconds", float() | int()) if math.isfinite(value) and value >= 0:
                return float(value)
            case ("list", list() | tuple()) if all(isinstance(item, str) for item in value):
                return tuple(value)
        raise DoesNotFit

    def read(self, text: str) -> Any:
        """The value that an environment variable means by its text.

        Raises:
            DoesNotFit: The text means no value of this kind, or one out of bounds.
        """
        text = text.strip() if self.kind != "str" else text
        if self.is_optional and not text:
            return None
        try:
            value = _READERS[self.kind](text)
        except (KeyError, ValueError):
            raise DoesNotFit from None
        return self.fit(value)


_READERS: dict[Kind, Callable[[str], object]] = {
    "bool": lambda text: _YES_NO[text.lower()],
    "int": int,
    "float": float,
    "str": str,
    "list": lambda text: [item.strip() for item in text.split(",") if item.strip()],
    "seconds": float,
}


class Schema:
    """All settings by their dotted names.

    Args:
        defaults: The parsed `defaults.toml`.
    """

    def __init__(self, defaults: Mapping[str, Any]) -> None:
        self.settings = {s.key: s for s in _settings_in(defaults, ())}
        self.keys = list(self.settings)
        self._sections = {
            tuple(key.split(".")[:length])
            for key in self.keys
            for length in range(1, key.count(".") + 1)
        }
        self._by_variable = {
            "PREFECT_" + key.replace(".", "_").upper(): setting
            for key, setting in self.settings.items()
        }

    def defaults(self) -> dict[str, Any]:
        """A table of every setting, as it is when nobody says otherwise."""
        table: dict[str, Any] = {"user": {}, "context": {"secrets": {}}}
        for key, setting in self.settings.items():
            put(table, tuple(key.split(".")), setting.default)
        return table

    def of_variable(self, name: str) -> Setting | None:
        """The setting that a variable such as `PREFECT_LOGGING_LEVEL` means, if any."""
        return self._by_variable.get(name)

    def fit(
        self, table: Mapping[str, Any], where: Callable[[Path], str], path: Path = ()
    ) -> dict[str, Any]:
        """The table with each value as its setting holds it.

        Args:
            table: Nested tables, as read from a file.
            where: Tells in which file and line, or where else, a key stands.
            path: The section that the table is; () for the whole.

        Raises:
            UnknownSetting: A key is no setting and not below `user` or `context`.
            UnfitSetting: A value cannot be taken.
        """
        fitted: dict[str, Any] = {}
        for name, value in table.items():
            here = (*path, name)
            if here[0] in FREE_FORM:
                if here in (("user",), ("context",), SECRETS) and not isinstance(value, Mapping):
                    raise UnfitSetting(where(here), ".".join(here), "a table", type(value).__name__)
                inside = self.fit(value, where, here) if isinstance(value, Mapping) else value
                fitted[name] = inside
            elif here in self._sections:
                if not isinstance(value, Mapping):
                    raise UnfitSetting(where(here), ".".join(here), "a table", short(value))
                fitted[name] = self.fit(value, where, here)
            else:
                fitted[name] = self._fit_one(here, value, where)
        return fitted

    def _fit_one(self, path: Path, value: object, where: Callable[[Path], str]) -> Any:
        key = ".".join(path)
        setting = self.settings.get(key)
        if setting is None:
            raise UnknownSetting(where(path), key, self.keys)
        try:
            return setting.fit(value)
        except DoesNotFit:
            raise UnfitSetting(where(path), key, setting.wanted, short(value)) from None


def put(table: dict[str, Any], path: Sequence[str], value: object) -> None:
    """Set a value in nested tables; sections that are missing are made."""
    for name in path[:-1]:
        inner = table.setdefault(name, {})
        if not isinstance(inner, dict):
            inner = table[name] = {}
        table = inner
    table[path[-1]] = value


def merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Both tables as one; where both have a value, that of `above`.

    >>> merge({"a": {"x": 1, "y": 2}}, {"a": {"y": 3}})
    {'a': {'x': 1, 'y': 3}}
    """
    merged = dict(below)
    for name, value in above.items():
        old = merged.get(name)
        both = isinstance(old, Mapping) and isinstance(value, Mapping)
        merged[name] = merge(cast(Mapping[str, Any], old), value) if both else value
    return merged


def short(value: object) -> str:
    """The value as text for an error, 60 characters at most."""
    text = repr(value)
    return text if len(text) <= 60 else text[:59] + "…"


def _settings_in(table: Mapping[str, Any], path: Path) -> list[Setting]:
    found: list[Setting] = []
    for name, value in table.items():
        here = (*path, name)
        if here[0] in FREE_FORM:
            continue
        if not isinstance(value, Mapping):
            found.append(Setting(".".join(here), _kind_of(value), value))
        elif "unset" in value:
            found.append(Setting(".".join(here), value["unset"], is_optional=True))
        elif "default" in value:
            rest = {**value, "one_of": tuple(value.get("one_of", ()))}
            found.append(Setting(".".join(here), _kind_of(value["default"]), **rest))
        else:
            found += _settings_in(value, here)
    return found


def _kind_of(value: object) -> Kind:
    name = type(value).__name__
    if name not in get_args(Kind):
        raise TypeError(f"defaults.toml: a setting cannot be a {name}")
    return cast(Kind, name)
