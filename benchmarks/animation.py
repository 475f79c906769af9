"""How smoothly is a run of 10,000 task runs played, and how large is the file that plays it?

In a browser without a window, which draws as the machine can; a person's draws with a graphics card. Without a
browser only the file is made.
"""

from __future__ import annotations

import random
import shutil
import statistics
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks.core.options import Options, Questions
from benchmarks.core.rows import Bar, Row
from benchmarks.core.running import WrongRun
from benchmarks.core.shapes import as_flow, layered
from prefect_dask import Flow, task
from prefect_dask.executors import LocalDaskExecutor
from prefect_dask.ledger import Ledger
from prefect_dask.ledger.writer import close_writers

#: Frames a second; what films have is 24.
BAR = Bar(30, of="ours", at_least=True)

BROWSERS = ("chromium", "chromium-browser", "google-chrome")

#: How long it is played, seconds.
PLAYED = 4.0

#: Plays all of it, and counts the frames and the longest wait for one, in ms.
PLAY = """(seconds) => new Promise((done) => {
    player.seek(0);
    player.speed = player.timeline.end / seconds;
    player.play();
    let [frames, longest, begun, last] = [0, 0, performance.now(), performance.now()];
    const count = () => {
        const now = performance.now();
        [longest, last] = [Math.max(longest, now - last), now];
        frames += 1;
        if (player.isPlaying) requestAnimationFrame(count);
        else done({ rate: (1e3 * frames) / (now - begun), longest, missing: player.timeline.end - player.seconds });
    };
    requestAnimationFrame(count);
})"""


@task
def double(x: int) -> int:
    time.sleep(random.uniform(0, 0.004))
    return 2 * x


def maps(count: int) -> Flow:
    """Two maps, one over the other."""
    with Flow("maps") as flow:
        double.map(double.map(list(range(count // 2))))
    return flow


def played(work: str, flow: Flow, options: Options) -> list[Row]:
    """Rows: the size of the file and how long it took, and the frames a second."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        stack.callback(close_writers)
        ledger = Ledger(folder / "ledger.sqlite")
        flow.run(ledger=ledger, executor=LocalDaskExecutor("threads", num_workers=16))
        [run] = ledger.flow_runs()
        count = len(ledger.task_runs(run.run_id))
        begun = time.perf_counter()
        file = run.animate().save(folder / "run.html")
        seconds = time.perf_counter() - begun
        size = file.stat().st_size / 1e6
        rows = [Row(f"file of {work}", "MB", size, None, None, count, notes={"seconds": seconds})]
        browser = next((path for name in BROWSERS if (path := shutil.which(name))), None)
        if browser is not None:
            rows.append(_frames(work, browser, file, count, options))
        return rows


def _frames(work: str, browser: str, file: Path, count: int, options: Options) -> Row:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(
            executable_path=browser, args=["--no-sandbox", "--disable-gpu", "--no-proxy-server"]
        )
        page = opened.new_page(viewport={"width": 1280, "height": 800})
        begun = time.perf_counter()
        page.goto(file.as_uri())
        page.wait_for_function("window.player !== undefined")
        opening = time.perf_counter() - begun
        told: list[dict[str, Any]] = [
            page.evaluate(PLAY, PLAYED * min(1.0, 10 * options.scale))
            for _ in range(options.rounds + 1)
        ][1:]
        opened.close()
    if any(each["missing"] for each in told):
        raise WrongRun(f"{work}: it was not played to its end: {told}")
    rates = [each["rate"] for each in told]
    longest = max(each["longest"] for each in told)
    notes = {"longest_ms": longest, "opening_seconds": opening, "rates": rates}
    return Row(f"play {work}", "frames/s", statistics.median(rates), None, BAR, count, notes=notes)


def of_maps(options: Options) -> list[Row]:
    """A map over a map: few boxes with a histogram each."""
    return played("two maps", maps(options.size(10_000)), options)


def of_layers(options: Options) -> list[Row]:
    """As many tasks apart, of which many share a box."""
    return played("layers of 100", as_flow(layered(options.size(100), 100)), options)


QUESTIONS: Questions = {"animation-maps": of_maps, "animation-layers": of_layers}
