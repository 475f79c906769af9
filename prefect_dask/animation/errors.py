"""What can go wrong when a run is to be played."""

from __future__ import annotations

from prefect_dask.engine.errors import PrefectDaskError


class BokehMissing(PrefectDaskError, ImportError):
    """Bokeh, which draws what is played, is not installed, cannot be imported, or is too old."""

    def __init__(self, cause: str) -> None:
        super().__init__(
            f"a run is played by Bokeh 3.8 or newer: {cause}; pip install 'prefect-dask[viz]'"
        )
        self.cause = cause

    def __reduce__(self) -> tuple[type, tuple[str]]:
        return type(self), (self.cause,)


class PortTaken(PrefectDaskError, OSError):
    """Something else listens on the port that was asked for."""

    def __init__(self, port: int, free_port: int) -> None:
        super().__init__(
            f"port {port} is in use; {free_port} is free, or leave the port out to have one chosen"
        )
        self.port, self.free_port = port, free_port

    def __reduce__(self) -> tuple[type, tuple[int, int]]:
        return type(self), (self.port, self.free_port)


class PortNotOurs(PrefectDaskError, OSError):
    """Nobody may listen on the port that was asked for, or it is none."""

    def __init__(self, port: int, cause: str) -> None:
        super().__init__(
            f"nothing can be served on port {port}: {cause}; take one from 1024 to 65535"
        )
        self.port, self.cause = port, cause

    def __reduce__(self) -> tuple[type, tuple[int, str]]:
        return type(self), (self.port, self.cause)
