"""A run is served on this machine: one that goes on grows on the page while it is looked at."""

import asyncio
import socket
import subprocess
import sys
import urllib.request
from contextlib import closing, contextmanager

import pytest

from prefect_dask import attach
from prefect_dask.animation.errors import PortNotOurs, PortTaken
from prefect_dask.animation.serving import port_of
from prefect_dask.ledger import Ledger
from prefect_dask.ledger.errors import UnknownRun
from tests.animation.conftest import wait_for_player
from tests.house.source import ROOT
from tests.waiting import wait_until


@pytest.fixture
def waiting(tmp_path):
    """A run in a process of its own: its ledger, and the folder where its tasks look for files."""
    command = [
        sys.executable,
        "-m",
        "tests.animation.flows",
        str(tmp_path / "l.sqlite"),
        str(tmp_path),
    ]
    program = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_until((tmp_path / "first-began").exists, 40)
        yield Ledger(tmp_path / "l.sqlite"), tmp_path
    finally:
        for name in ("first", "second"):
            (tmp_path / name).touch()
        try:
            program.wait(40)
        finally:
            program.kill()


def test_a_run_that_goes_on_grows_on_the_page(waiting, page):
    ledger, folder = waiting
    [run] = wait_until(ledger.flow_runs)
    wait_until(lambda: "Running" in [each.state for each in ledger.task_runs(run.run_id)])
    state_of = "(task) => player.timeline.stateAt(task, -1)"
    with attach(run.run_id, ledger=ledger).animate().serving() as url:
        page.goto(url)
        wait_for_player(page)
        assert page.evaluate("player.isFollowing")
        assert page.get_attribute("#live", "aria-pressed") == "true"
        assert [page.evaluate(state_of, task) for task in (0, 1)] == ["Running", "Pending"]
        first = page.evaluate("player.timeline.end")

        (folder / "first").touch()
        page.wait_for_function("player.timeline.stateAt(1, -1) === 'Running'")
        assert page.evaluate(state_of, 0) == "Success"
        assert page.evaluate("player.gantt.bars.length") == 2
        assert page.evaluate("player.seconds") > first

        # A file has it as it is now, and waits for nothing.
        file = page.context.new_page()
        file.goto(run.animate().save(folder / "now.html").as_uri())
        wait_for_player(file)
        assert file.locator("#live").is_hidden() and not file.evaluate("player.isFollowing")
        file.keyboard.press("End")
        assert [file.evaluate(state_of, task) for task in (0, 1)] == ["Success", "Running"]
        file.close()

        # Who looks at what was is left there.
        page.click("#begin")
        assert page.evaluate("[player.isFollowing, player.timeline.position]") == [False, 0]
        (folder / "second").touch()
        page.wait_for_function("player.timeline.facts.is_over")
        assert page.evaluate(state_of, 1) == "Pending"
        assert page.locator("#live").is_hidden()
        page.keyboard.press("End")
        assert page.evaluate(state_of, 1) == "Success"
        assert page.text_content("#state") == "Success"
        told = len(ledger.states(run.run_id))
        assert page.evaluate("player.timeline.time.length") == told
        page.goto("about:blank")


def test_it_is_served_to_this_machine_alone_and_to_its_own_pages(recorded):
    with recorded.run.animate().serving() as url:
        port = port_of(url)
        assert urllib.request.urlopen(url, timeout=20).status == 200
        assert addresses_of(port) == {"127.0.0.1"}
        assert asyncio.run(handshake(port, f"http://localhost:{port}")) == 101
        assert asyncio.run(handshake(port, "http://elsewhere.example")) == 403
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", port), timeout=5)


def addresses_of(port):
    import psutil

    listening = [c for c in psutil.Process().net_connections() if c.status == psutil.CONN_LISTEN]
    return {each.laddr.ip for each in listening if each.laddr.port == port}


async def handshake(port, origin):
    """The status that the server answers who wants to listen in."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    asked = (
        f"GET /ws HTTP/1.1\r\nHost: localhost:{port}\r\nOrigin: {origin}\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
        f"Sec-WebSocket-Protocol: bokeh, {token()}\r\n\r\n"
    )
    writer.write(asked.encode())
    answer = await asyncio.wait_for(reader.readline(), 20)
    writer.close()
    await writer.wait_closed()
    return int(answer.split()[1])


def token():
    from bokeh.util.token import generate_jwt_token, generate_session_id

    return generate_jwt_token(generate_session_id())


@contextmanager
def taken_port():
    with closing(socket.socket()) as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other.getsockname()[1]


def test_a_port_that_is_in_use_is_named_with_one_that_is_free(recorded):
    animation = recorded.run.animate()
    with (
        taken_port() as port,
        pytest.raises(PortTaken, match=f"port {port} is in use; .* is free") as error,
        animation.serving(port),
    ):
        pass
    with animation.serving(error.value.free_port) as url:
        assert port_of(url) == error.value.free_port


def test_a_port_that_is_none_is_refused(recorded):
    with pytest.raises(PortNotOurs, match="port 70000"), recorded.run.animate().serving(70_000):
        pass


def test_two_at_once_get_ports_of_their_own(recorded):
    animation = recorded.run.animate()
    with animation.serving() as one, animation.serving() as other:
        assert port_of(one) != port_of(other)


def test_an_unknown_run_is_refused(recorded):
    with pytest.raises(UnknownRun):
        recorded.ledger.animate("zz")
