"""What can go wrong with old import paths."""

from __future__ import annotations

from prefect_dask.engine.errors import PrefectDaskError


class OldNameGone(PrefectDaskError, ImportError):
    """An old flow file asks for a module or a name that is not here."""

    def __init__(self, name: str, advice: str) -> None:
        super().__init__(f"{name} is not in prefect_dask: {advice}")
        self.name, self.advice = name, advice


class PrefectIsHere(PrefectDaskError, RuntimeError):
    """The old names are asked for where another package of the name `prefect` can be imported."""

    def __init__(self, where: str) -> None:
        super().__init__(
            f"a package named prefect can be imported here, from {where}; uninstall it, or call "
            "prefect_dask.compat.install(force=True) so that `import prefect` means prefect_dask "
            "in this process"
        )
        self.where = where


class PrefectIsImported(PrefectDaskError, RuntimeError):
    """The old names are asked for after another package of the name `prefect` was imported."""

    def __init__(self, where: str) -> None:
        super().__init__(
            f"a package named prefect is imported already, from {where}; call "
            "prefect_dask.compat.install() before anything imports it, or start a new process"
        )
        self.where = where
