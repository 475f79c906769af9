"""`prefect-dask runs animate`: a run as a file, or served until Ctrl-C."""

import re
import signal
import socket
import urllib.request
from contextlib import closing

import pytest

from tests.cli import flow_files


@pytest.fixture
def run_id(program):
    program.write("halves.py", flow_files.MAPPED)
    assert program("run", "halves.py", "--no-progress").returncode == 1
    [run] = program.json("runs", "ls")
    return run["run_id"]


def test_a_run_is_exported_as_one_file(program, run_id):
    done = program("runs", "animate", run_id[:8], "--export", "run.html")
    assert (done.returncode, done.stdout) == (0, "run.html\n"), done.stderr
    text = (program.folder / "run.html").read_text("utf-8")
    assert "<h1>halves</h1>" in text
    assert not re.search(r"""<(?:script|link|img)\b[^>]*\b(?:src|href)=["'](?!data:)""", text)

    done = program("runs", "animate", run_id, "--export", "nowhere/run.html")
    assert done.returncode == 2
    assert "nowhere/run.html cannot be written: No such file or directory" in done.stderr
    done = program("runs", "animate", run_id[:6] + "xyz", "--export", "run.html")
    assert done.returncode == 2 and run_id in done.stderr


def test_a_run_is_served_until_ctrl_c_and_a_port_in_use_is_named(program, run_id):
    with closing(socket.create_server(("127.0.0.1", 0))) as other:
        port = other.getsockname()[1]
        done = program("runs", "animate", run_id, "--no-browser", "--port", str(port))
    assert done.returncode == 2
    assert re.search(rf"port {port} is in use; \d+ is free", done.stderr)

    with serving(program, run_id, "--port", str(port)) as served:
        told = served.stdout.readline()
        assert told.startswith(f"halves, run {run_id[:12]}: http://localhost:{port}/")
        assert urllib.request.urlopen(f"http://localhost:{port}/", timeout=20).status == 200
        served.send_signal(signal.SIGINT)
        assert served.wait(20) == 0
        assert served.stderr.read() == ""


def test_without_a_port_the_next_free_one_is_taken_and_told(program, run_id):
    with serving(program, run_id) as one:
        first = one.stdout.readline()
        # 5006 may be somebody else's before.
        first = one.stdout.readline() if "in use" in first else first
        with serving(program, run_id) as other:
            assert re.match(r"port 5006 is in use; taking \d+$", other.stdout.readline())
            second = other.stdout.readline()
    assert re.findall(r"localhost:(\d+)", first) != re.findall(r"localhost:(\d+)", second)


class serving:
    """The program serving a run; killed at the end of the block, where it is still there."""

    def __init__(self, program, *arguments):
        self.program, self.arguments = program, arguments

    def __enter__(self):
        self.served = self.program.start("runs", "animate", *self.arguments, "--no-browser")
        return self.served

    def __exit__(self, *exception):
        if self.served.poll() is None:
            self.served.kill()
        self.served.communicate()
