"""What can be wrong with settings: where it stands, which key it is, what is wanted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from prefect_dask.engine.errors import PrefectDaskError, nearest


class SettingsError(PrefectDaskError, ValueError):
    """The settings cannot be used as they are."""


class SettingsFileUnreadable(SettingsError):
    """A settings file is named or there, and cannot be read."""

    def __init__(self, path: Path, cause: str) -> None:
        super().__init__(f"the settings file {path} cannot be read: {cause}")
        self.path, self.cause = path, cause


class SettingsFileDoesNotParse(SettingsError):
    """A settings file is not TOML."""

    def __init__(self, path: Path, line: int, key: str, cause: str) -> None:
        at = f", at {key!r}" if key else ""
        super().__init__(
            f"{path}:{line}: this is not TOML{at}: {cause}; mend that line (text stands in quotes, "
            f"a key stands once, and [section] alone on its line)"
        )
        self.path, self.line, self.key, self.cause = path, line, key, cause


class UnknownSetting(SettingsError):
    """Somewhere a value is given to a setting that does not exist."""

    def __init__(self, where: str, key: str, known: Sequence[str]) -> None:
        super().__init__(
            f"{where}: there is no setting {key!r}; {nearest(key, known)} "
            f"(values of your own belong below 'user')"
        )
        self.where, self.key = where, key


class UnfitSetting(SettingsError):
    """A setting is given a value that it cannot take."""

    def __init__(self, where: str, key: str, wanted: str, got: str) -> None:
        super().__init__(f"{where}: {key!r} must be {wanted}, got {got}")
        self.where, self.key, self.wanted, self.got = where, key, wanted, got


class UnknownProfile(SettingsError):
    """A profile that is to hold, or to be changed, is not in the file of profiles."""

    def __init__(self, name: str, path: Path, known: Sequence[str]) -> None:
        super().__init__(
            f"there is no profile {name!r}: {path} has no table [profiles.{name}]; {nearest(name, known)}"
        )
        self.name, self.path = name, path


class NoHomeFolder(SettingsError):
    """The system does not say where this user's files belong."""

    def __init__(self) -> None:
        super().__init__(
            "this user has no home folder; set PREFECT_HOME to a folder for prefect_dask's files"
        )


class NoSuchSetting(PrefectDaskError, AttributeError):
    """Code reads a setting that does not exist."""

    def __init__(self, key: str, known: Sequence[str]) -> None:
        super().__init__(f"there is no setting {key!r}; {nearest(key, known)}")
        self.key = key
