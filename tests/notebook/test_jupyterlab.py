"""What a person meets in JupyterLab: a run that is seen while it goes on, and interrupted, in both themes."""

import re

import pytest

from prefect_dask.engine.state import Running, Success
from tests.browser import take_picture
from tests.notebook.lab import running_lab
from tests.notebook.test_html import contrast

CELLS = (
    """\
import time
from prefect_dask import Flow, task
from prefect_dask.executors import LocalDaskExecutor

@task
def stations():
    return [f"station {n}" for n in range(400)]

@task
def measure(station):
    time.sleep(0.2)
    if station == "station 3":
        raise ValueError("no signal")
    return len(station)

@task
def summary(values):
    return sum(values)

with Flow("weather", executor=LocalDaskExecutor("threads", num_workers=4)) as flow:
    measured = measure.map(stations())
    total = summary(measured)""",
    "state = flow.run()",
    "import sys\nsys.last_value.state",
)


@pytest.fixture
def lab(tmp_path):
    with running_lab(tmp_path) as lab:
        yield lab


def run_cell(page, number):
    """Click into a cell, and on the button that runs it; returns when it is running or has run."""
    page.evaluate(LISTENS)
    cell = page.locator(".jp-CodeCell").nth(number)
    cell.locator(".cm-content").click()
    page.locator("[data-command='notebook:run-cell-and-select-next']").first.click()
    cell.locator(".jp-InputPrompt", has_text=re.compile(r"\[[*\d]+\]:")).wait_for()


def opened(page, address):
    """Open a notebook; returns when it is all there, and its kernel listens: what is asked before is lost."""
    page.goto(address)
    page.locator(".jp-Notebook-ExecutionIndicator").wait_for()
    page.evaluate(
        f"async () => {{ await window.jupyterapp.restored; await {SESSION}.ready; await {KERNEL}.info; }}"
    )


SESSION = "window.jupyterapp.shell.currentWidget.context.sessionContext"
KERNEL = f"{SESSION}.session.kernel"

#: The kernel refuses what comes while it ends a cell that failed, also for a while after it said that it is idle.
LISTENS = f"""async () => {{
    const asked = () => {KERNEL}.requestExecute({{code: "", silent: true, stop_on_error: false}}).done;
    while ((await asked()).content.status !== "ok");
}}"""


def counted(page):
    """How many children the line of the map says are over."""
    cell = page.locator(".prefect-dask td.pd-number", has_text="/400").first
    return int(cell.inner_text().partition("/")[0])


def keep(page, name):
    """Take a picture of the cell that runs and what is below it."""
    page.locator("#jupyterlab-splash").wait_for(state="detached")
    take_picture(page.locator(".jp-CodeCell").nth(1), name)


def test_a_run_is_seen_while_it_goes_on_and_interrupted_by_the_button(lab, browser):
    lab.write("weather.ipynb", *CELLS)
    page = browser.new_page(viewport={"width": 1180, "height": 1150})
    page.set_default_timeout(30_000)
    opened(page, lab.address("weather.ipynb"))
    page.evaluate("window.jupyterapp.commands.execute('application:toggle-left-area')")
    run_cell(page, 0)
    run_cell(page, 1)

    # The bar moves before the run ends.
    page.locator(".jp-OutputArea .prefect-dask td.pd-number", has_text="/400").first.wait_for()
    page.wait_for_function(MOVED, arg=counted(page))
    assert "Running" in page.locator(".prefect-dask .pd-head").first.inner_text()
    assert page.locator(".prefect-dask", has_text="no signal").count()
    page.wait_for_function(MOVED, arg=40)
    assert 0 < page.evaluate(WIDTH) < 400
    # So does the graph: what is over, what goes on, what is to come.
    box = page.locator(".prefect-dask svg g")
    assert box.filter(has_text="stations").locator("rect").get_attribute("fill") == Success.color
    assert box.filter(has_text="summary").locator("text").last.text_content() == "Pending"
    measured = box.filter(has_text="measure")
    assert measured.locator(f"path[stroke='{Running.color}']").count()
    done = measured.locator("text").last.text_content()
    page.wait_for_function(CHANGED, arg=done)
    keep(page, "notebook-light")
    check_readable(page, is_dark=False)
    page.evaluate(THEME)
    page.locator("body[data-jp-theme-light=false]").wait_for(state="attached")
    page.wait_for_function(
        "getComputedStyle(document.body).getPropertyValue('--jp-layout-color0').trim() == '#111'"
    )
    check_readable(page, is_dark=True)
    keep(page, "notebook-dark")

    page.locator("[data-command='notebook:interrupt-kernel']").first.click()

    page.locator(".prefect-dask .pd-head", has_text="Cancelled").first.wait_for()
    page.locator(".jp-OutputArea", has_text="RunInterrupted").first.wait_for()
    # The kernel goes on, and has what was reached until then.
    run_cell(page, 2)
    state = page.locator(".jp-CodeCell").nth(2).locator(".prefect-dask")
    state.wait_for()
    assert re.search(r"Cancelled\s+interrupted", state.inner_text())
    assert re.search(r"Success \d+", state.inner_text())
    check_readable(page, is_dark=True)

    # What is saved needs neither the kernel nor the widgets.
    page.evaluate("window.jupyterapp.commands.execute('docmanager:save')")
    page.evaluate("window.jupyterapp.commands.execute('notebook:shutdown-kernel')")
    page.goto(lab.address("weather.ipynb"))
    shown = page.locator(".jp-CodeCell").nth(1).locator(".jp-OutputArea-output").first
    shown.get_by_text("measure").first.wait_for()
    assert "Cancelled" in shown.inner_text() and "/400" in shown.inner_text()
    assert "Error displaying widget" not in page.inner_text("body")
    page.context.close()


MOVED = """before => {
    const cells = [...document.querySelectorAll('.prefect-dask td.pd-number')];
    const cell = cells.find(each => each.innerText.includes('/400'));
    return cell && parseInt(cell.innerText) > before;
}"""

#: How wide the first part of its bar is, in one go: the card is another one twice a second.
WIDTH = """() => {
    const rows = [...document.querySelectorAll('.prefect-dask tr')];
    const bar = rows.find(each => each.innerText.includes('/400')).querySelector('.pd-bar i');
    return bar.getBoundingClientRect().width;
}"""

CHANGED = """before => [...document.querySelectorAll('.prefect-dask svg text')].some(
    each => each.textContent.endsWith('/400') && each.textContent != before)"""

THEME = """async () => {
    await window.jupyterapp.commands.execute('apputils:change-theme', {theme: 'JupyterLab Dark'});
}"""


def check_readable(page, *, is_dark):
    """The text of each card stands out from its ground, which is the theme's."""
    cards = page.evaluate(
        """() => [...document.querySelectorAll('.prefect-dask')].map(card => {
            const style = getComputedStyle(card), cell = card.querySelector('td');
            return [style.backgroundColor, style.color, cell ? getComputedStyle(cell).color : style.color];
        })"""
    )
    assert cards
    for ground, ink, ink_of_table in cards:
        assert contrast(ground, ink) > 4.5 and contrast(ground, ink_of_table) > 4.5
        assert (ground == "rgb(17, 17, 17)") == is_dark, ground
