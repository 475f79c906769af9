"""install() and uninstall(): `import prefect…` means prefect_dask in this process."""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from functools import partial
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType
from typing import Any, Final

from prefect_dask.compat.doors import gone, served_module
from prefect_dask.compat.errors import PrefectIsHere, PrefectIsImported
from prefect_dask.compat.table import SERVED
from prefect_dask.engine.beforehand import do_beforehand, no_longer_beforehand
from prefect_dask.flow import Flow

OLD: Final = "prefect"


class OldNames(MetaPathFinder, Loader):
    """Finds the modules that old flow files import, and hands out ours in their place."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Where a module is found: with us, when it is an old one."""
        if not is_old(name):
            return None
        if name not in SERVED:
            raise gone(name)
        return ModuleSpec(name, self, origin="prefect_dask")

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """An empty module, which `exec_module` puts the right one in place of."""
        return None

    def exec_module(self, module: ModuleType) -> None:
        """Put the module that is meant where Python looks for it."""
        # In place of being it: Python would write the old name's spec upon a module that it gets
        # from create_module, and ours have names and specs of their own.
        sys.modules[module.__name__] = served_module(module.__name__)


def is_old(name: str) -> bool:
    """Whether a module has an old name."""
    return name == OLD or name.startswith(f"{OLD}.")


_finder: Final = OldNames()
_installing: Final = threading.Lock()


def install(*, force: bool = False) -> None:
    """Let `import prefect`, and what lies below it, mean prefect_dask in this process.

    The processes and Dask workers in which tasks of this process run do the same before they load
    them. Asked for again, it does nothing more.

    Args:
        force: Whether to do so where another package of that name is installed.

    Raises:
        PrefectIsHere: Another package of that name is installed, and `force` was not given.
        PrefectIsImported: Another package of that name is imported already, so it is too late.
    """
    with _installing:
        if _finder in sys.meta_path:
            return
        loaded = sys.modules.get(OLD)
        if loaded is not None:
            raise PrefectIsImported(str(getattr(loaded, "__file__", None)))
        spec = find_spec(OLD)
        # A folder of flow files may well be called prefect; without __init__.py it is no package.
        if spec is not None and spec.origin is not None and not force:
            raise PrefectIsHere(spec.origin)
        sys.meta_path.insert(0, _finder)
        do_beforehand(OLD, partial(install, force=force))
        if not hasattr(Flow, "register"):
            setattr(Flow, "register", _register)  # noqa: B010  # not a method for Flow to show


def uninstall() -> None:
    """Take back what `install` did; what was imported stays with those who imported it."""
    with _installing:
        if _finder not in sys.meta_path:
            return
        sys.meta_path.remove(_finder)
        for name in [name for name in sys.modules if is_old(name)]:
            del sys.modules[name]
        no_longer_beforehand(OLD)
        if Flow.__dict__.get("register") is _register:
            delattr(Flow, "register")


def _register(flow: Flow, *args: Any, **kwargs: Any) -> None:
    raise gone("prefect.Flow.register")
