"""`python -m prefect_dask.compat FILE [ARGUMENTS …]`: run an old flow file as it is."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Final

from prefect_dask.compat.finder import install

USAGE: Final = """\
usage: python -m prefect_dask.compat FILE [ARGUMENTS ...]

Runs a flow file written for Prefect 0.15 to 1.4, with prefect_dask in the place of Prefect.
"""


def main(arguments: list[str]) -> None:
    """Run a file as `python FILE` does, but with the old names at hand.

    Args:
        arguments: The file, then its own arguments.

    Raises:
        SystemExit: There is no such file, or the file asks to exit.
    """
    if not arguments or arguments[0] in ("-h", "--help"):
        (sys.stdout if arguments else sys.stderr).write(USAGE)
        raise SystemExit(0 if arguments else 2)
    file = arguments[0]
    try:
        source = Path(file).read_bytes()
    except OSError as error:
        raise SystemExit(f"{file} cannot be read: {error.strerror}") from error
    # Who runs a file so says what it should import; another Prefect of this machine is not meant.
    install(force=True)
    sys.argv = list(arguments)
    if not getattr(sys.flags, "safe_path", False):  # new in Python 3.11
        sys.path[0] = str(Path(file).resolve().parent)
    sys.modules["__main__"] = module = main_module(file)
    exec(compile(source, os.path.abspath(file), "exec"), module.__dict__)


def main_module(file: str) -> ModuleType:
    """A module in which a file runs as the main one."""
    module = ModuleType("__main__")
    module.__file__ = os.path.abspath(file)
    # That of this runner: by it the processes that multiprocessing spawns, such as Dask's workers,
    # know not to run the file once more. They would do so before anyone can serve them old names.
    module.__spec__ = __spec__
    module.__dict__["__builtins__"] = __builtins__
    return module


if __name__ == "__main__":
    main(sys.argv[1:])
