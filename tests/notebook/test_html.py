"""Flows, tasks, states and runs as HTML: useful, small, escaped, readable on light and dark ground."""

import html
import re
import time
from datetime import timedelta

import pytest

from prefect_dask import Flow, Parameter, attach, context, task, triggers, unmapped
from prefect_dask.engine.state import Failed, LazyResult, Mapped, Success
from prefect_dask.executors import LocalDaskExecutor, LocalExecutor
from prefect_dask.ledger import Ledger
from prefect_dask.notebook import markup
from prefect_dask.progress import Watch
from prefect_dask.tasks.secrets import PrefectSecret

ALERT = "<script>alert(1)</script>"


@task
def load(path, retries=3):
    """Load one file.

    Not this line.
    """
    return path


@task
def odd(x):
    if x % 2:
        raise ValueError(f"{ALERT} {x} is odd")
    return x


@task(max_retries=2, retry_delay=1, timeout=5, trigger=triggers.all_finished, tags=["db"])
def total(xs):
    return sum(x for x in xs if isinstance(x, int))


def words(page):
    """What a page says, without its marks."""
    text = re.sub(r"<[^>]+>", " ", re.sub(r"<style>.*?</style>", "", page))
    return html.unescape(" ".join(text.split()))


def test_a_flow_says_what_it_needs_and_what_its_tasks_wait_for():
    with Flow("nightly") as flow:
        day = Parameter("day", default="today")
        files = load(day, retries=1)
        total(odd.map(files, upstream_tasks=[unmapped(Parameter("town"))]))

    said = words(flow._repr_html_())

    assert said.startswith("Flow nightly 5 tasks 1 mapped 4 edges")
    assert "parameters day = 'today' , town" in said
    assert "decides its state total-db-1" in said
    assert "load-1 path = day , retries = 1" in said
    assert "odd-1 x = each of load-1 , after town" in said
    assert "total-db-1 xs = odd-1 2 retries, timeout 5.0 s, trigger all_finished, tags db" in said


def test_a_flow_that_cannot_run_says_why():
    with Flow("round") as flow:
        one, other = load("a"), load("b")
    flow.add_edge(one, other, validate=False)
    flow.add_edge(other, one, validate=False)

    assert "It cannot run:" in words(flow._repr_html_())
    assert "Flow empty 0 tasks" in words(Flow("empty")._repr_html_())


def test_a_task_says_what_it_takes_and_is_for():
    said = words(load._repr_html_())
    assert said == "Task load Load one file. takes path , retries = 3"
    assert "settings 2 retries" in words(total._repr_html_())
    with Flow("bound") as flow:
        bound = load("x")
    assert bound in flow.tasks and "Task load" in words(bound._repr_html_())
    cached = load.copy(cache_for=timedelta(hours=1))
    assert "cached for 1:00:00" in words(cached._repr_html_())


def test_the_state_of_a_flow_says_what_failed_and_what_each_task_came_to():
    with Flow("halves") as flow:
        children = odd.map([1, 2, 3])
        summed = total(children)
        load(children)

    state = flow.run(ledger="none")
    said = words(state._repr_html_())

    assert said.startswith("Failed reference tasks failed: 'load'")
    assert "Success 3 Failed 2 TriggerFailed 1" in said
    assert f"odd[0] Failed ValueError {ALERT} 1 is odd" in said
    assert "odd Mapped Failed 2 Success 1" in said
    assert "total Success 2" in said and "load TriggerFailed" in said
    assert "[1] Success 2" in words(state.result[children]._repr_html_())
    assert words(state.result[summed]._repr_html_()).startswith("Success")
    assert "result 2" in words(state.result[summed]._repr_html_())


class Elsewhere(LazyResult):
    def fetch_state(self):
        raise AssertionError("a page fetches nothing")


def test_the_type_of_an_error_is_said_once():
    @task
    def look_up(error):
        raise error

    with Flow("errors") as flow:
        for error in (ValueError("no rows"), KeyError("rows"), AssertionError()):
            look_up(error, task_args={"name": type(error).__name__.lower()})

    said = words(flow.run()._repr_html_())
    for told in ("ValueError no rows", "KeyError 'rows'", "Failed AssertionError"):
        assert told in said


def test_a_result_that_lies_elsewhere_stays_there():
    state = Success("done")
    state._lazy = Elsewhere()
    assert "not fetched" in words(state._repr_html_())
    whole = Success(result={"load-1": state, "odd-1": Mapped(map_states=[state, Failed("no")])})
    assert "not fetched" in words(whole._repr_html_())


class Rude:
    def __repr__(self):
        raise RuntimeError("no repr")


class Wide:
    def __repr__(self):
        return f"<b>{'w' * 100_000}</b>"


def test_whatever_users_name_and_return_is_text():
    evil = task(name=ALERT)(lambda x: x)

    with Flow(ALERT) as flow:
        load(Parameter(f"p{ALERT}", default=ALERT))
        results = [evil(value) for value in (ALERT, Rude(), Wide(), [ALERT] * 10_000, {ALERT: 1})]
        odd.map([1], task_args={"name": ALERT})
    watch = Watch()
    ledger = Ledger(":memory:")
    state = flow.run(ledger=ledger, progress=watch)
    run = ledger.flow_runs()[0]

    things = [flow, evil, state, run, attach(run.run_id, ledger=ledger)]
    pages = [each._repr_html_() for each in [*things, *(state.result[r] for r in results)]]

    for page in pages:
        assert "<script" not in page and "<b>" not in page
        assert len(page) < 20_000
    assert all(html.escape(ALERT) in page for page in pages[:5])


def test_secrets_are_not_shown():
    with Flow("secret") as flow:
        secret = PrefectSecret("WORD")
        odd.map([1], task_args={"name": "told"})
        load(secret)

    ledger = Ledger(":memory:")
    with context(secrets={"WORD": "open sesame"}):
        state = flow.run(ledger=ledger)
    run = ledger.flow_runs()[0]

    pages = [x._repr_html_() for x in (flow, state, *state.result.values(), run)]
    assert "open sesame" not in "".join(pages)


def test_10_000_tasks_and_10_000_children_are_small_and_quick():
    @task
    def sometimes(x):
        if x % 100 == 1:
            raise ValueError(f"{x} " + "is wrong " * 1_000)
        return "y" * 1_000

    with Flow("wide") as wide:
        for _ in range(10_000):
            load("x" * 500)
    with Flow("mapped") as mapped:
        children = sometimes.map(list(range(10_000)))
    ledger = Ledger(":memory:")
    executor = LocalDaskExecutor("threads", num_workers=2)
    wide_state = wide.run(ledger=ledger, executor=LocalExecutor())
    states = [wide_state, mapped.run(ledger=ledger, executor=executor)]
    handles = [attach(run.run_id, ledger=ledger) for run in ledger.flow_runs(limit=2)]

    sizes = {}
    for thing in (wide, *states, states[1].result[children], *handles):
        begun = time.thread_time()
        page = thing._repr_html_()
        sizes[repr(thing)[:40]] = len(page.encode()), time.thread_time() - begun
        assert "10,000" in page or "9,900" in page

    assert all(size < 200_000 for size, _ in sizes.values()), sizes
    assert all(seconds < 2 for _, seconds in sizes.values()), sizes
    assert "9,800 more tasks" in wide._repr_html_()


def test_a_handle_and_a_recorded_run_say_what_it_came_to():
    with Flow("counts") as flow:
        odd.map(Parameter("xs"))
    ledger = Ledger(":memory:")
    flow.run(ledger=ledger, xs=[1, 2, 4])
    run = ledger.flow_runs()[0]

    said = words(attach(run.run_id, flow, ledger=ledger)._repr_html_())

    assert said.startswith("Flow counts Failed 4/4 task runs")
    assert "odd 3/3" in said and "odd[0] Failed" in said and "xs Success" in said
    assert "parameters xs = [1, 2, 4]" in words(run._repr_html_())


# ---- in a browser


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_readable_whatever_the_system_and_the_theme_of_jupyterlab(page, tmp_path, scheme):
    """Contrast of text and ground, as WCAG counts it: 4.5 and more."""
    with Flow("readable") as flow:
        load("x")
    card = flow._repr_html_()
    themes = {
        "": "",
        # What JupyterLab 4 sets, whatever the system prefers.
        "light": "--jp-layout-color0:white;--jp-content-font-color1:rgba(0,0,0,.87)",
        "dark": "--jp-layout-color0:#111;--jp-content-font-color1:rgba(255,255,255,1)",
    }
    file = tmp_path / "page.html"
    cards = "".join(
        f'<div id="theme{name}" style="{css}">{card}</div>' for name, css in themes.items()
    )
    file.write_text(f'<meta charset="utf-8">{cards}', encoding="utf-8")
    page.emulate_media(color_scheme=scheme)
    page.goto(file.as_uri())

    for name in themes:
        ground, ink = page.evaluate(
            """id => { const style = getComputedStyle(document.querySelector(`#${id} .prefect-dask`));
                       return [style.backgroundColor, style.color]; }""",
            f"theme{name}",
        )
        assert contrast(ground, ink) > 4.5, (name, ground, ink)
        is_dark = luminance(ground) < 0.2
        assert is_dark == ((name or scheme) == "dark")


def luminance(color):
    channels = [int(float(x)) / 255 for x in re.findall(r"[\d.]+", color)[:3]]
    red, green, blue = (
        c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one, other):
    dark, light = sorted([luminance(one), luminance(other)])
    return (light + 0.05) / (dark + 0.05)


def test_the_style_needs_no_script_and_nothing_from_elsewhere():
    assert "url(" not in markup.STYLE and "@import" not in markup.STYLE
    assert len(markup.STYLE) < 4_000
