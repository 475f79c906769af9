"""Changing settings in their files: one key at a time, comments and all else as they were."""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from prefect_dask.settings.errors import SettingsError, UnfitSetting, UnknownSetting
from prefect_dask.settings.schema import FREE_FORM, DoesNotFit, Schema, put, short
from prefect_dask.settings.sources import (
    PROFILES_FILE,
    USER_FILE_VARIABLE,
    Profiles,
    home_folder,
    literal,
    read_profiles,
)
from prefect_dask.settings.toml_text import line_of, parse, read_toml

Key: TypeAlias = tuple[str, ...]


class CannotEdit(SettingsError):
    """A file says something in a way that is not changed here without breaking it."""

    def __init__(self, path: Path, what: str) -> None:
        super().__init__(
            f"{path}: {what} cannot be done without rewriting the file; edit it by hand"
        )
        self.path, self.what = path, what


class ProfileExists(SettingsError):
    """A profile of that name is there already."""

    def __init__(self, name: str, path: Path) -> None:
        super().__init__(
            f"{path} has a profile {name!r} already; choose another name, or delete it first"
        )
        self.name, self.path = name, path


def value_of(schema: Schema, key: str, text: str) -> Any:
    """What a text means as the value of a setting.

    Raises:
        UnknownSetting: There is no such setting.
        UnfitSetting: It cannot have that value.
    """
    setting = schema.settings.get(key)
    if setting is None:
        if key.split(".")[0] in FREE_FORM and "." in key:
            return literal(text)
        raise UnknownSetting("the command line", key, schema.keys)
    try:
        value = setting.read(text)
    except DoesNotFit:
        raise UnfitSetting("the command line", key, setting.wanted, short(text)) from None
    return "" if value is None else value


def user_file_to_write() -> Path:
    """The user's file, which need not be there."""
    told = os.environ.get(USER_FILE_VARIABLE)
    return Path(told).expanduser().absolute() if told else home_folder() / "config.toml"


def profiles_file() -> Path:
    """The file of profiles, which need not be there."""
    return home_folder() / PROFILES_FILE


def profiles_here() -> Profiles:
    """What the file of profiles says; nothing where there is none."""
    path = profiles_file()
    return read_profiles(path) if path.exists() else Profiles("", {}, "")


# ---- editing


def add_table(path: Path, key: Key, values: Mapping[str, Any]) -> None:
    """Add a table to a TOML file; the file is made where there is none.

    Raises:
        CannotEdit: Nothing was changed.
    """
    text = _text(path)
    wanted = parse(text)
    put(wanted, key, dict(values))
    lines = [f"{_key(name)} = {to_toml(value)}" for name, value in values.items()]
    section = "\n".join([f"[{'.'.join(map(_key, key))}]", *lines])
    changed = (text.rstrip("\n") + "\n\n" if text.strip() else "") + section
    if not _means(changed, wanted):
        raise CannotEdit(path, f"adding {'.'.join(key)!r}")
    _replace(path, changed)


def set_key(path: Path, key: Key, value: Any) -> None:
    """Have a key of a TOML file be a value; the file is made where there is none.

    Raises:
        CannotEdit: Nothing was changed.
    """
    text = _text(path)
    wanted = parse(text)
    put(wanted, key, value)
    for changed in _with_key(text, key, to_toml(value)):
        if _means(changed, wanted):
            _replace(path, changed)
            return
    raise CannotEdit(path, f"setting {'.'.join(key)!r}")


def unset_key(path: Path, key: Key) -> bool:
    """Take a key, or a whole table, out of a TOML file; whether it was there.

    Raises:
        CannotEdit: Nothing was changed.
    """
    text = _text(path)
    wanted = parse(text)
    if not _take_out(wanted, key):
        return False
    for changed in _without_key(text, key):
        if _means(changed, wanted):
            _replace(path, changed)
            return True
    raise CannotEdit(path, f"taking out {'.'.join(key)!r}")


def rename_table(path: Path, old: Key, new: Key) -> None:
    """Give a table of a TOML file another name.

    Raises:
        CannotEdit: Nothing was changed.
    """
    text = _text(path)
    wanted = parse(text)
    inner: Any = wanted
    for name in old:
        inner = inner[name]
    _take_out(wanted, old)
    put(wanted, new, inner)
    changed = _HEADER.sub(lambda head: _renamed(head, old, new), text)
    if not _means(changed, wanted):
        raise CannotEdit(path, f"renaming {'.'.join(old)!r}")
    _replace(path, changed)


def to_toml(value: Any) -> str:
    """A value as TOML.

    >>> to_toml(True), to_toml(3), to_toml("a\\"b"), to_toml(("x", "y"))
    ('true', '3', '"a\\\\"b"', '["x", "y"]')
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, Mapping):
        inner = ", ".join(f"{_key(name)} = {to_toml(each)}" for name, each in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(to_toml, value))}]"
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")


def _with_key(text: str, key: Key, value: str) -> Iterator[str]:
    """Texts of which one may be this one with a key set."""
    lines = text.split("\n")
    number = line_of(text, key)
    if number:
        # Where it stands now.
        before, equals, _ = lines[number - 1].partition("=")
        if equals:
            yield "\n".join([*lines[: number - 1], f"{before.rstrip()} = {value}", *lines[number:]])
    for length in range(len(key) - 1, 0, -1):
        header, rest = key[:length], key[length:]
        for at, line in enumerate(lines):
            if _header_of(line) == header:
                said = f"{'.'.join(map(_key, rest))} = {value}"
                yield "\n".join([*lines[: at + 1], said, *lines[at + 1 :]])
    said = f"{'.'.join(map(_key, key))} = {value}"
    if len(key) == 1:
        yield f"{said}\n{text}"
        return
    section = f"[{'.'.join(map(_key, key[:-1]))}]\n{_key(key[-1])} = {value}\n"
    yield (text.rstrip("\n") + "\n\n" if text.strip() else "") + section
    yield f"{said}\n{text}"


def _without_key(text: str, key: Key) -> Iterator[str]:
    """Texts of which one may be this one without a key."""
    lines = text.split("\n")
    kept, is_inside = [], False
    for line in lines:
        header = _header_of(line)
        if header is not None:
            is_inside = header[: len(key)] == key
        if not is_inside:
            kept.append(line)
    if len(kept) < len(lines):
        yield "\n".join(kept)
    number = line_of(text, key)
    if number:
        # A value may take several lines.
        for end in range(number, len(lines) + 1):
            yield "\n".join([*lines[: number - 1], *lines[end:]])


_HEADER = re.compile(r"^[ \t]*\[([^\[\]\n]+)\][ \t]*(?:#.*)?$", re.MULTILINE)


def _header_of(line: str) -> Key | None:
    """The table whose header a line is; None where it is none."""
    found = _HEADER.match(line)
    return _names(found[1]) if found else None


def _names(header: str) -> Key:
    names: list[str] = []
    table: Any = parse(f"[{header}]")
    while table:
        [(name, table)] = table.items()
        names.append(name)
    return tuple(names)


def _renamed(head: re.Match[str], old: Key, new: Key) -> str:
    names = _names(head[1])
    if names[: len(old)] != old:
        return head[0]
    return head[0].replace(head[1], ".".join(map(_key, (*new, *names[len(old) :]))))


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else json.dumps(name, ensure_ascii=False)


def _take_out(table: dict[str, Any], key: Key) -> bool:
    for name in key[:-1]:
        inner = table.get(name)
        if not isinstance(inner, dict):
            return False
        table = inner
    return table.pop(key[-1], None) is not None


def _means(text: str, wanted: Mapping[str, Any]) -> bool:
    """Whether a text says that, and nothing else."""
    try:
        return _pruned(parse(text)) == _pruned(wanted)
    except ValueError:
        return False


def _pruned(table: Mapping[str, Any], *, keeps_empty: bool = False) -> dict[str, Any]:
    """The table with values as TOML gives them back, and without sections that say nothing: but a profile may."""
    pruned: dict[str, Any] = {}
    for name, value in table.items():
        if isinstance(value, Mapping):
            inner = _pruned(value, keeps_empty=name == "profiles")
            if inner or keeps_empty:
                pruned[name] = inner
        else:
            pruned[name] = list(value) if isinstance(value, tuple) else value
    return pruned


def _text(path: Path) -> str:
    return read_toml(path)[1] if path.exists() else ""


def _replace(path: Path, text: str) -> None:
    """Write a file whole or not at all; only its user can read it, since secrets may be in it."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    # The file that a link leads to, and not the link, is replaced.
    target = path.resolve()
    handle, partial = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text if text.endswith("\n") or not text else text + "\n")
        if target.exists():
            os.chmod(partial, target.stat().st_mode & 0o777)
        os.replace(partial, target)
    except BaseException:
        os.unlink(partial)
        raise
