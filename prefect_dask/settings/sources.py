"""Where settings come from: defaults < Dask's < the user's file < the project's < the profile < the environment."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from prefect_dask.engine import home
from prefect_dask.settings.dask_section import SECTION, dask_section
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

#: In the home folder.
PROFILES_FILE = "profiles.toml"

#: In the current folder: what holds for all who work on a project.
PROJECT_FILE = "prefect_dask.toml"


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
    settings: dict[str, Any] = {}
    for layer in layers(schema, environ):
        settings = merge(settings, layer.settings)
    return settings


class Layer(NamedTuple):
    """What one source says.

    Attributes:
        source: What it is, for people.
        settings: What it says, as nested tables.
    """

    source: str
    settings: dict[str, Any]


def layers(schema: Schema, environ: Mapping[str, str]) -> list[Layer]:
    """What each source says; a later one wins.

    Raises:
        SettingsError: As for `read_settings`.
    """
    profile = active_profile(environ)
    return [
        Layer("default", schema.defaults()),
        Layer(f"dask.config, section {SECTION!r}", dask_settings(schema, environ)),
        Layer(str(user_file(environ) or "user file"), user_settings(schema, environ)),
        Layer(PROJECT_FILE, project_settings(schema)),
        Layer(f"profile {profile!r}", profile_settings(schema, environ)),
        Layer("environment", environment_settings(schema, environ)),
    ]


def dask_settings(schema: Schema, environ: Mapping[str, str]) -> dict[str, Any]:
    """What the section `prefect` of Dask's configuration says."""
    where = f"dask.config, section {SECTION!r}"
    return schema.fit(dask_section(environ), lambda _: where)


def project_settings(schema: Schema) -> dict[str, Any]:
    """What the project's file in the current folder says; nothing when there is none."""
    path = Path(PROJECT_FILE).absolute()
    if not path.is_file():
        return {}
    table, text = read_toml(path)
    return schema.fit(table, partial(_place, path, text))


def user_file(environ: Mapping[str, str]) -> Path | None:
    """The user's file; None where there is none."""
    told = environ.get(USER_FILE_VARIABLE)
    return Path(told).expanduser().absolute() if told else _in_home("config.toml", environ)


def user_settings(schema: Schema, environ: Mapping[str, str]) -> dict[str, Any]:
    """What the user's file says; nothing when there is none."""
    path = user_file(environ)
    if path is None:
        return {}
    table, text = read_toml(path)
    return schema.fit(table, partial(_place, path, text))


def profile_settings(schema: Schema, environ: Mapping[str, str]) -> dict[str, Any]:
    """What the active profile says; nothing when none is active."""
    name = active_profile(environ)
    if not name:
        return {}
    path = _in_home(PROFILES_FILE, environ)
    if path is None:
        missing = home_folder(environ) / PROFILES_FILE
        raise SettingsFileUnreadable(missing, f"there is none, and {PROFILE_VARIABLE} is {name!r}")
    found = read_profiles(path)
    if name not in found.profiles:
        raise UnknownProfile(name, path, list(found.profiles))
    place = partial(_place, path, found.text)
    return schema.fit(found.profiles[name], lambda key: place(("profiles", name, *key)))


class Profiles(NamedTuple):
    """What the file of profiles says.

    Attributes:
        active: The profile that holds where nobody names one; "" for none.
        profiles: The settings of each, as they stand there.
        text: The file's text.
    """

    active: str
    profiles: Mapping[str, Mapping[str, Any]]
    text: str


def read_profiles(path: Path) -> Profiles:
    """What a file of profiles says.

    Raises:
        SettingsError: It says something else.
    """
    table, text = read_toml(path)
    place = partial(_place, path, text)
    for key in table:
        if key not in ("active", "profiles"):
            raise UnknownSetting(place((key,)), key, ["active", "profiles"])
    active, profiles = table.get("active", ""), table.get("profiles", {})
    if not isinstance(active, str):
        raise UnfitSetting(place(("active",)), "active", "the name of a profile", short(active))
    if not isinstance(profiles, Mapping):
        raise UnfitSetting(place(("profiles",)), "profiles", "a table", short(profiles))
    for name, profile in profiles.items():
        if not isinstance(profile, Mapping):
            where = place(("profiles", name))
            raise UnfitSetting(where, f"profiles.{name}", "a table", short(profile))
    return Profiles(active, profiles, text)


def active_profile(environ: Mapping[str, str] | None = None) -> str:
    """The profile that holds: the one that `PREFECT_PROFILE` names, else the one that was chosen; "" for none.

    Raises:
        SettingsError: The file of profiles says something else.
    """
    environ = os.environ if environ is None else environ
    if name := environ.get(PROFILE_VARIABLE):
        return name
    path = _in_home(PROFILES_FILE, environ)
    return "" if path is None else read_profiles(path).active


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
