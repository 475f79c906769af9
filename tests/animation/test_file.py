"""A run that was saved as one file is played without server and network, as the ledger tells it."""

import re
from itertools import pairwise

from prefect_dask.engine import clock
from prefect_dask.ledger import Ledger
from tests.animation.conftest import wait_for_player
from tests.animation.flows import MARKUP, chain


def times_and_states(ledger, run):
    """Moments between changes, and the state of each task run then, told in the plainest way."""
    begun = clock.to_seconds(run.begun)
    latest: dict = {}
    changes = []
    for state in ledger.states(run.run_id):
        key = (state.task, state.map_index)
        at = max(clock.to_seconds(state.time) - begun, latest.get(key, 0.0))
        latest[key] = at
        changes.append((at, key, state.state))
    distinct = sorted({at for at, _, _ in changes})
    moments = [(a + b) / 2 for a, b in pairwise(distinct) if b - a > 1e-6]
    moments = [0.0, *moments, distinct[-1] + 1]
    for moment in moments:
        states: dict = {}
        for at, key, state in changes:
            if at <= moment:
                states[key] = state
        yield moment, states


def test_at_every_moment_each_task_run_is_at_the_state_that_the_ledger_tells(recorded, played):
    wanted = list(times_and_states(*recorded))
    assert len(wanted) > 20
    # Forth and back: undoing changes leads where doing them does.
    order = [*range(len(wanted)), *range(len(wanted) - 1, -1, -3)]
    shown = played.evaluate(
        """([moments, keys]) => moments.map((moment) => {
            player.seek(moment);
            const counted = Object.fromEntries(
                [...document.querySelectorAll("#legend span")].map((chip) =>
                    [chip.dataset.state, Number(chip.querySelector("b").textContent)]));
            return {
                states: keys.map(([task, index]) => player.timeline.stateAt(task, index)),
                boxes: player.timeline.counts.map((counts) => Array.from(counts)),
                counted,
            };
        })""",
        [[wanted[i][0] for i in order], [*wanted[-1][1]]],
    )
    names = played.evaluate("player.plan.states.map((state) => state.name)")
    box_of = played.evaluate("player.plan.boxOf")
    for i, seen in zip(order, shown, strict=True):
        moment, states = wanted[i]
        told = dict(zip(wanted[-1][1], seen["states"], strict=True))
        assert {key: state for key, state in told.items() if key in states} == states, moment
        assert {told[key] for key in told if key not in states} <= {None, "Pending"}
        counts = counted(states, box_of)
        boxes = [
            {name: count for name, count in zip(names, box, strict=True) if count}
            for box in seen["boxes"]
        ]
        assert boxes == counts, moment
        whole: dict = {}
        for box in counts:
            for name, count in box.items():
                whole[name] = whole.get(name, 0) + count
        assert {name: count for name, count in seen["counted"].items() if count} == whole


def counted(states, box_of, width=12, mapped=2):
    """How many task runs of each box are at which state; children of a map are Pending when it is known."""
    boxes: list[dict] = [{} for _ in range(max(box_of) + 1)]
    for task, box in enumerate(box_of):
        own = states.get((task, -1), "Pending")
        its = [state for (each, index), state in states.items() if each == task and index >= 0]
        if own != "Mapped":
            its.append(own)
        else:
            its += ["Pending"] * (width - len(its))
        for state in its:
            boxes[box][state] = boxes[box].get(state, 0) + 1
    return boxes


def test_it_is_played_to_its_end_and_pauses_on_the_way(played):
    end = played.evaluate("player.timeline.end")
    played.select_option("#speed", "0.001")
    played.click("#play")
    played.wait_for_function("player.seconds > 0 && player.timeline.position > 0")
    played.click("#play")
    assert not played.evaluate("player.isPlaying")
    assert 0 < played.evaluate("player.seconds") < end
    assert played.text_content("#play") == "Play"

    played.select_option("#speed", "1000")
    played.keyboard.press("Escape")
    played.click("#play")
    played.wait_for_function("!player.isPlaying")

    assert played.evaluate("player.seconds") == end
    assert played.evaluate("player.timeline.position === player.timeline.time.length")
    assert played.text_content("#state") == "Failed"
    assert played.input_value("#slider") == "10000"
    assert played.evaluate("player.models.cursor.location") == end


def test_each_step_is_one_change_forth_and_back(recorded, played):
    count = len(recorded.ledger.states(recorded.run.run_id))
    seen = []
    for _ in range(6):
        played.click("#forward")
        seen.append(played.text_content("#last"))
    assert played.evaluate("player.timeline.position") == 6
    assert len(set(seen)) == 6 and seen[0].endswith("Running: Running flow.")
    played.click("#back")
    assert played.text_content("#last") == seen[4]
    played.click("h1")
    played.keyboard.press("End")
    assert played.evaluate("player.timeline.position") == count
    played.keyboard.press("ArrowLeft")
    assert played.evaluate("player.timeline.position") == count - 1
    played.keyboard.press("Home")
    assert played.evaluate("[player.timeline.position, player.seconds]") == [0, 0]
    # In a notebook it is the same in a frame.
    cell = played.context.new_page()
    cell.set_content(recorded.run.animate()._repr_html_())
    frame = cell.wait_for_selector("iframe").content_frame()
    frame.wait_for_function("window.player !== undefined")
    assert frame.evaluate("player.timeline.time.length") == count
    # The slider is a control of its own, for mouse and keyboard.
    box = played.locator("#slider").bounding_box()
    played.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    half = played.evaluate("player.seconds / player.timeline.end")
    assert abs(half - 0.5) < 0.02


def test_what_is_pointed_at_tells_message_inputs_and_attempts_as_text(played):
    def about(of, number):
        played.mouse.move(5, 5)
        x, y = played.evaluate(AT[of], number)
        played.mouse.move(x, y)
        played.mouse.move(x + 1, y)
        tip = played.locator(".told").locator("visible=true")
        tip.wait_for()
        return tip.inner_text()

    played.keyboard.press("End")
    marked = played.evaluate(
        "(name) => player.plan.scene.boxes.findIndex((box) => box.name === name)", MARKUP
    )
    told = about("box", marked)
    assert re.sub(" +", " ", told).splitlines()[0] == f"{MARKUP} Failed"
    assert "text = '</script><b>bold</b>'" in told
    assert "attempt 1: Failed" in told and "worker-" in told

    halve = played.evaluate("player.plan.scene.boxes.findIndex((box) => box.name === 'halve')")
    told = about("box", halve)
    assert "10 Success" in told and "2 Failed" in told
    assert "halve[3]: <b>3</b> is odd" in told

    bar = played.evaluate(
        """() => player.gantt.bars.findIndex((bar) =>
            player.timeline.nameOf(bar.run) === "halve[8]" && bar.attempt === 2)"""
    )
    played.evaluate(ZOOM, bar)
    told = about("bar", bar)
    assert "<b>8</b> is odd" in told
    assert "x = 8 (numbers[8])" in re.sub(" +", " ", told)
    assert "attempt 1: Failed" in told and "attempt 2: Failed" in told


def test_where_the_whole_cannot_be_read_what_runs_is_followed(tmp_path, request):
    ledger = Ledger(tmp_path / "chain.sqlite")
    chain().run(ledger=ledger)
    file = ledger.flow_runs()[0].animate().save(tmp_path / "chain.html")
    # A browser counts as an event loop of this thread, in which no flow may run.
    page = request.getfixturevalue("page")
    page.goto(file.as_uri())
    wait_for_player(page)
    seen = "[player.models.graph.x_range.start, player.models.graph.x_range.end]"
    start, end = page.evaluate(seen)
    width = page.evaluate("player.plan.scene.width")
    assert start <= 0 and end < 0.6 * width
    assert page.locator("#whole").inner_text() == "Whole graph"

    page.evaluate("player.speed = player.timeline.end / 2")
    page.click("#play")
    page.wait_for_function(f"player.models.graph.x_range.end > {0.7 * width}")
    page.click("#play")
    page.click("#whole")
    start, end = page.evaluate(seen)
    assert start <= 0 and end >= width
    assert page.locator("#whole").inner_text() == "Follow what runs"
    page.click("#whole")
    page.keyboard.press("End")
    # What is seen follows within some frames.
    page.wait_for_function(f"(([start, end]) => start > 0 && end > {0.9 * width})({seen})")


#: Where the middle of a box or a bar is on the page.
AT = {
    name: f"""(number) => {{
        const model = player.models.{model};
        const at = {at};
        const area = document.getElementById("{model}").getBoundingClientRect();
        const view = Bokeh.index.get_one(model).frame.bbox;
        const style = getComputedStyle(document.getElementById("{model}"));
        const {{ x_range: xs, y_range: ys }} = model;
        return [
            area.x + parseFloat(style.paddingLeft) + view.left
                + (at[0] - xs.start) / (xs.end - xs.start) * view.width,
            area.y + parseFloat(style.paddingTop) + view.top
                + (ys.end - at[1]) / (ys.end - ys.start) * view.height,
        ];
    }}"""
    for name, model, at in (
        ("box", "graph", "[player.plan.scene.boxes[number].x, -player.plan.scene.boxes[number].y]"),
        (
            "bar",
            "gantt",
            "((bar) => [(bar.begin + bar.end) / 2, -bar.lane - 0.5])(player.gantt.bars[number])",
        ),
    )
}

ZOOM = """(number) => {
    const { begin, end } = player.gantt.bars[number];
    player.models.gantt.x_range.setv({ start: begin - (end - begin), end: end + (end - begin) });
}"""
