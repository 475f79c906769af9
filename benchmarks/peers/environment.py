"""An environment for each peer, made once, and the variables under which it runs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from .alone import run_alone
from .catalogue import Peer

ROOT = Path(__file__).parents[2]
CACHE = ROOT / ".venv-peers"
INSTALL_SECONDS = 1_200.0

#: No reports home, no colours, no example data, no lines on the terminal for each task.
QUIET = {
    "DO_NOT_TRACK": "1",
    "NO_COLOR": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    # Its own 20 s are too few where other programs run, and it takes no more of them than it needs.
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    "PREFECT_LOGGING_LEVEL": "ERROR",
    "PREFECT_LOGGING_TO_API_ENABLED": "false",
    "PREFECT__LOGGING__LEVEL": "ERROR",
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR",
    "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
}


class NotInstalled(Exception):
    """A peer could not be installed; says what pip said."""


def python_of(peer: Peer, scratch: Path) -> Path:
    """The interpreter in which the peer is installed, after installing it where it is not.

    Raises:
        NotInstalled: pip refused, or took too long; what it had begun is removed.
    """
    if not peer.requirements:
        return Path(sys.executable)
    folder = CACHE / peer.module
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    wanted, made = "\n".join([sys.version, *peer.requirements]), folder / "made-of"
    if made.exists() and made.read_text("utf-8") == wanted:
        return python
    shutil.rmtree(folder, ignore_errors=True)
    steps = (
        [sys.executable, "-m", "venv", str(folder)],
        [
            str(python),
            *("-m", "pip", "install", "--disable-pip-version-check", "--quiet"),
            *("--prefer-binary", *peer.requirements),
        ],
    )
    for command in steps:
        why = run_alone(
            command,
            dict(os.environ),
            scratch,
            timeout_seconds=INSTALL_SECONDS,
            with_network=True,
        )
        if why:
            shutil.rmtree(folder, ignore_errors=True)
            raise NotInstalled(why)
    made.write_text(wanted, "utf-8")
    return python


def packages_of(python: Path) -> dict[str, str]:
    """What is installed there, by name."""
    code = (
        "import importlib.metadata as m\n"
        "for d in m.distributions(): print(d.metadata['Name'].lower(), d.version)"
    )
    done = subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=True)
    return dict(line.split(" ", 1) for line in done.stdout.splitlines())


def variables_for(peer: Peer, python: Path, scratch: Path) -> dict[str, str]:
    """The environment of a peer's process: folders below `scratch`, and of the user's only what runs programs."""
    home = scratch / "home"
    home.mkdir(parents=True, exist_ok=True)
    kept = {
        name: os.environ[name]
        for name in ("PATH", "LANG", "LC_ALL", "SYSTEMROOT", "COMSPEC", "PATHEXT")
        if name in os.environ
    }
    kept["PATH"] = os.pathsep.join([str(python.parent), kept.get("PATH", os.defpath)])
    paths = [str(scratch)]
    if not peer.requirements:
        paths += [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        **kept,
        **QUIET,
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONDONTWRITEBYTECODE": "1",
        "HOME": str(home),
        "TMPDIR": str(scratch),
        "PREFECT_HOME": str(home / "prefect"),
        "AIRFLOW_HOME": str(home / "airflow"),
    }
