"""Where settings come from: defaults < the user's file < the active profile < the environment."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from prefect_dask.engine import home
from prefect_dask.settings.errors import (
    NoHomeFolder,
    SettingsFileUnreadable,
    UnfitSetting,
    UnknownProfile,
    UnknownSetting,
)
from prefect_dask.settings.schema import (
    FREE_FORM,
    SECRETS,
    DoesNotFit,
    Schema,
    merge,
    put,
    short,
)
from prefect_dask.settings.toml_text import line_of, parse, read_toml

#: Say where to look, and are no settings themselves.
USER_FILE_VARIABLE = "PREFECT__USER_CONFIG_PATH"
PROFILE_VARIABLE = "PREFECT_PROFILE"


def home_folder(environ: Mapping[str, str] | None = None) -> Path:
    """The folder of this user's files: `PREFECT_HOME`, or `~/.prefect_dask`. Need not exist.

    Raises:
        NoHomeFolder: `PREFECT_HOME` is not set and the system knows no home for this user.
    """
    try:
        return home.home_folder(environ)
    except RuntimeError as exc:
        raise NoHomeFolder from exc


def read_schema() -> Schema:
    """What settings there are, from the `defaults.toml` that ships with the package."""
    return Schema(parse(Path(__file__).with_name("defaults.toml").read_text(encoding="utf-8")))


def read_settings(schema: Schema, environ: Mapping[str, str]) -> dict[str, Any]:
    """All settings as nested tables, from files and environment.

    Args:
        schema: The settings that there are.
        environ: The environment's variables; they also say where the files are.

    Raises:
        SettingsError: A file cannot be read, or something in a file or a variable is no setting or
            does not fit. It names the file and line or the variable, and the key.
    """
    settings = merge(schema.defaults(), user_settings(schema, environ))
    settings = merge(settings, profile_settings(schema, environ))
    return merge(settings, environment_settings(schema, environ))


def user_settings(schema: Schema, environ: Mapping[str, str]) -> dict[str, Any]:
    """What the user's file says; nothing when there is none."""
    if told := environ.get(USER_FILE_VARIABLE):
        path = Path(told).expanduser().absolute()
    else:
        found = _in_home("config.toml", environ)
        if found is None:
            return {}
        path = found
    table, text = read_toml(path)
    return schema.fit(table, partial(_place, path, text))


def profile_settings(schema: Schema, environ: Mapping[str, str]) -> dict[str, Any]:
    """What the active profile says; nothing when none is active."""
    name = environ.get(PROFILE_VARIABLE)
    if not name:
        return {}
    path = _in_home("profiles.toml", environ)
    if path is None:
        missing = home_folder(environ) / "profiles.toml"
        raise SettingsFileUnreadable(missing, f"there is none, and {PROFILE_VARIABLE} is {name!r}")
    table, text = read_toml(path)
    place = partial(_place, path, text)
    for key in table:
        if key != "profiles":
            raise UnknownSetting(place((key,)), key, ["profiles"])
    profiles = table.get("profiles", {})
    if not isinstance(profiles, Mapping):
        raise UnfitSetting(place(("profiles",)), "profiles", "a table", short(profiles))
    if name not in profiles:
        raise UnknownProfile(name, path, list(profiles))
    if not isinstance(profiles[name], Mapping):
        where = place(("profiles", name))
        raise UnfitSetting(where, f"profiles.{name}", "a table", short(profiles[name]))
    return schema.fit(profiles[name], lambda key: place(("profiles", name, *key)))


#: Sections of Prefect 1 that have no like here: their variables are not ours to refuse.
OF_PREFECT_1 = frozenset(
    {
        "api",
        "assets",
        "backend",
        "cloud",
        "debug",
        "environments",
        "home_dir",
        "server",
        "telemetry",
    }
)


def environment_settings(schema: Schema, environ: Mapping[str, str]) -> dict[str, Any]:
    """What variables say: `PREFECT__SECTION__KEY`, else `PREFECT_SECTION_KEY`."""
    settings: dict[str, Any] = {}
    # Sorted, so that the variables with two underscores come last and win.
    for variable in sorted(environ, key=lambda name: (name.startswith("PREFECT__"), name)):
        if variable in (USER_FILE_VARIABLE, home.HOME_VARIABLE, PROFILE_VARIABLE):
            continue
        text = environ[variable]
        if variable.startswith("PREFECT__"):
            names = variable.removeprefix("PREFECT__").split("__")
            path = tuple(name.lower() for name in names)
            if path[0] in OF_PREFECT_1:
                continue
            if path[0] in FREE_FORM and all(path) and len(path) > 1 and path != SECRETS:
                if path[:2] == SECRETS:
                    put(settings, (*SECRETS, "__".join(names[2:])), text)
                else:
                    put(settings, path, literal(text))
                continue
            setting = schema.settings.get(".".join(path))
            if setting is None:
                raise UnknownSetting(f"the variable {variable}", ".".join(path), schema.keys)
        elif (setting := schema.of_variable(variable)) is None:
            continue  # the prefix with one underscore belongs to others, too
        try:
            put(settings, tuple(setting.key.split(".")), setting.read(text))
        except DoesNotFit:
            where = f"the variable {variable}"
            raise UnfitSetting(where, setting.key, setting.wanted, short(text)) from None
    return settings


def literal(text: str) -> Any:
    """The bool or number that a text is in TOML, or else the text.

    >>> literal("true"), literal("3"), literal("0.5"), literal("007"), literal("x")
    (True, 3, 0.5, '007', 'x')
    """
    if text in ("true", "false"):
        return text == "true"
    if re.fullmatch(r"[+-]?(0|[1-9]\d{0,17})", text):
        return int(text)
    if re.fullmatch(r"[+-]?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d{1,3})?", text):
        return float(text)
    return text


def _in_home(name: str, environ: Mapping[str, str]) -> Path | None:
    try:
        path = home_folder(environ) / name
    except NoHomeFolder:
        return None
    # A home that this user may not look into, as in many containers, holds no file of his.
    return path if os.path.exists(path) else None


def _place(path: Path, text: str, key: tuple[str, ...]) -> str:
    return f"{path}:{line_of(text, key)}"
