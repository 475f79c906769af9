"""JupyterLab on a free port of this machine, with all that it writes below a folder of the test."""

import json
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
import psutil

from tests.notebook.kernel import variables
from tests.waiting import wait_until

#: It asks for no news and offers no extensions: there is no network.
DISABLED = {
    "@jupyterlab/apputils-extension:announcements": True,
    "@jupyterlab/extensionmanager-extension:plugin": True,
}


class Lab:
    """A running JupyterLab.

    Attributes:
        folder: What it serves.
    """

    def __init__(self, folder: Path, url: str, token: str) -> None:
        self.folder, self._url, self._token = folder, url, token

    def write(self, name: str, *cells: str) -> None:
        """Write a notebook of code cells."""
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
        notebook.metadata.kernelspec = {
            "name": "python3",
            "display_name": "Python 3",
            "language": "python",
        }
        nbformat.write(notebook, self.folder / name)

    def address(self, name: str) -> str:
        """Where a browser finds a notebook, and nothing from before."""
        return f"{self._url}lab/tree/{name}?reset&token={self._token}"


@contextmanager
def running_lab(folder: Path) -> Iterator[Lab]:
    """JupyterLab, until the end of the block; its kernels end with it.

    Args:
        folder: For all that it writes.
    """
    served, token = folder / "served", secrets.token_hex(16)
    served.mkdir()
    environment = variables(folder)
    config = Path(environment["JUPYTER_CONFIG_DIR"]) / "labconfig" / "page_config.json"
    config.parent.mkdir(parents=True)
    config.write_text(json.dumps({"disabledExtensions": DISABLED}))
    log = folder / "jupyterlab.log"
    with open(log, "wb") as output:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"),
                # Only on this machine, on a port that is free. The page can be told what a menu would do.
                *("--ServerApp.ip=127.0.0.1", "--ServerApp.port=0", "--expose-app-in-browser"),
                *(f"--ServerApp.root_dir={served}", f"--IdentityProvider.token={token}"),
                *(
                    "--LabApp.news_url=",
                    "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
                ),
            ],
            env=environment,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        told = Path(environment["JUPYTER_RUNTIME_DIR"]) / f"jpserver-{process.pid}.json"
        server = wait_until(lambda: _server(told, process, log), 40, what="JupyterLab")
        yield Lab(served, server["url"], token)
    finally:
        _end(process)


def _server(told: Path, process: "subprocess.Popen[bytes]", log: Path) -> Any:
    assert process.poll() is None, log.read_text()
    try:
        return json.loads(told.read_text())
    except (OSError, ValueError):
        return None


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End it and its kernels at once; what they would still write is below the test's folder.

    Asked by a signal, it waits until its kernels have answered; one that is just starting, as after a notebook was
    opened, takes its time.
    """
    server = psutil.Process(process.pid)
    server.suspend()  # so that it starts none meanwhile
    kernels = server.children(recursive=True)
    for each in (*kernels, server):
        each.kill()
    process.wait()
    psutil.wait_procs(kernels, timeout=10)
