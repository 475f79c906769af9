"""Old flow files run as they are: the import paths of Prefect 0.15 to 1.4, served from here.

`python -m prefect_dask.compat FILE` runs a file so; `install()` does it for this process. What
stands behind which path says `table.py`.
"""

from prefect_dask.compat.errors import OldNameGone, PrefectIsHere, PrefectIsImported
from prefect_dask.compat.finder import install, uninstall

__all__ = ["OldNameGone", "PrefectIsHere", "PrefectIsImported", "install", "uninstall"]
