"""The flow runs on a cluster as HTML. Whatever users named or wrote is escaped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from prefect_dask.dashboard.board import KEPT_SECONDS, ShownRun
from prefect_dask.engine.state import STATES, Finished
from prefect_dask.progress.lines import duration, rate_text

#: After how long without an answer it is said that none comes, seconds.
SILENT_SECONDS = 5.0

#: What stands for the state of a run whose coordinating process is gone, and its colour.
LOST, LOST_COLOR = "Disconnected", "#7a0019"

#: Of a page; the colours are those of the light and the dark.
PAGE_STYLE = """
html, body { margin: 0; background: #ffffff; }
@media (prefers-color-scheme: dark) { html, body { background: #16191d; } }
"""

STYLE = """
:host {
    --ink: #1f2933; --faint: #616e7c; --line: #dde2e7; --track: #eceff2; --wrong: #b3001b;
    color: var(--ink); font: 14px/1.45 system-ui, "Segoe UI", Helvetica, Arial, sans-serif;
}
@media (prefers-color-scheme: dark) {
    :host { --ink: #e4e7eb; --faint: #9aa5b1; --line: #323a42; --track: #2a3138; --wrong: #ff8a8a; }
}
.bk-clearfix { display: block !important; width: 100%; }
main { box-sizing: border-box; max-width: 1100px; margin: 0 auto; padding: 16px 20px 32px; }
h1 { font-size: 18px; font-weight: 600; margin: 0 0 4px; }
p { margin: 0; }
.faint { color: var(--faint); }
.run { border-top: 1px solid var(--line); margin-top: 14px; padding-top: 12px; }
.over { opacity: 0.85; }
.head { display: flex; flex-wrap: wrap; align-items: baseline; column-gap: 12px; }
.head .name { font-weight: 600; overflow-wrap: anywhere; }
.head .times { margin-left: auto; white-space: nowrap; font-variant-numeric: tabular-nums; }
code { font: 12px/1.4 ui-monospace, Menlo, Consolas, monospace; overflow-wrap: anywhere; }
.state { font-weight: 600; white-space: nowrap; }
.state::before, .counts span::before {
    content: ""; display: inline-block; width: 9px; height: 9px; border-radius: 2px; margin-right: 6px;
    background: var(--color); border: 1px solid rgba(127, 127, 127, 0.5); box-sizing: border-box;
}
.bar {
    display: flex; height: 10px; margin: 8px 0 6px; border-radius: 3px; overflow: hidden;
    background: var(--track);
}
.bar i { display: block; height: 100%; min-width: 3px; background: var(--color); }
.counts { display: flex; flex-wrap: wrap; column-gap: 18px; font-variant-numeric: tabular-nums; }
.failures { margin: 6px 0 0; display: grid; grid-template-columns: fit-content(40%) 1fr; gap: 2px 14px; }
.failures dt { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.failures dd { margin: 0; overflow-wrap: anywhere; white-space: pre-wrap; color: var(--wrong); }
"""


def page(runs: Sequence[ShownRun]) -> str:
    """The page, without its style.

    Args:
        runs: In the order in which they are shown.
    """
    live = sum(run.over_seconds is None for run in runs)
    minutes = f"{KEPT_SECONDS / 60:.0f} minutes"
    if runs:
        said = f"{live:,} live, {len(runs) - live:,} that ended in the last {minutes}"
    else:
        said = f"No flow run is on this cluster now, and none ended in the last {minutes}."
    body = "".join(run_section(run) for run in runs)
    return f'<main><h1>Flow runs</h1><p class="faint">{said}</p>{body}</main>'


def run_section(run: ShownRun) -> str:
    """One flow run."""
    report = run.report
    state, color = (LOST, LOST_COLOR) if run.is_lost else (report.state, color_of(report.state))
    rate = rate_text(report.rate) if report.rate and run.over_seconds is None else ""
    times = "  ·  ".join(filter(None, [rate, duration(run.seconds)]))
    head = (
        f'<div class="head"><span class="state" style="--color:{color}">{escape(state)}</span>'
        f'<span class="name">{escape(report.run_name)}</span><span>{escape(report.flow_name)}</span>'
        f'<code class="faint">{escape(report.run_id)}</code><span class="times">{times}</span></div>'
    )
    kind = "run" if run.over_seconds is None else "run over"
    return f'<section class="{kind}">{head}{bar(run)}{counts(run)}{remark(run)}{failures(run)}</section>'


def bar(run: ShownRun) -> str:
    """How many task runs are at which state, as lengths; what is left is still to come."""
    known = max(run.report.known, 1)
    parts = "".join(
        f'<i style="--color:{color_of(state)};width:{100 * count / known:.3f}%"></i>'
        for state, count in in_order(run.report.states)
    )
    return f'<div class="bar">{parts}</div>'


def in_order(states: Mapping[str, int]) -> list[tuple[str, int]]:
    """Success first, what is over next, and what is not over beside what is still to come.

    >>> in_order({"Running": 2, "Failed": 1, "Success": 3})
    [('Success', 3), ('Failed', 1), ('Running', 2)]
    """

    def place(each: tuple[str, int]) -> int:
        kind = STATES.get(each[0])
        return 0 if each[0] == "Success" else 1 if kind and issubclass(kind, Finished) else 2

    return sorted(states.items(), key=place)


def counts(run: ShownRun) -> str:
    """How many task runs are at which state, in words."""
    report = run.report
    told = [
        f'<span style="--color:{color_of(state)}">{escape(state)} {count:,}</span>'
        for state, count in in_order(report.states)
    ]
    to_come = report.known - sum(report.states.values())
    if to_come > 0:
        what = "to come" if run.over_seconds is None else "not run"
        told.append(f'<span style="--color:var(--track)">{what} {to_come:,}</span>')
    return f'<div class="counts">{"".join(told)}</div>'


def remark(run: ShownRun) -> str:
    """What is to be said of a run beside its numbers."""
    if run.is_lost:
        said = f"Its coordinating process left the cluster {duration(run.over_seconds or 0)} ago."
    elif run.silent_seconds > SILENT_SECONDS:
        said = f"Its coordinating process has not answered for {duration(run.silent_seconds)}."
    elif run.over_seconds is not None:
        said = run.report.message
    else:
        return ""
    return f'<p class="faint">{escape(said)}</p>'


def failures(run: ShownRun) -> str:
    """What failed last, the latest first."""
    told = "".join(
        f'<dt title="{escape(task_run)}">{escape(task_run)}</dt>'
        f"<dd>{escape(f'{state}: {message}')}</dd>"
        for task_run, state, message in reversed(run.report.failures)
    )
    return f'<dl class="failures">{told}</dl>' if told else ""


def color_of(state: str) -> str:
    """The colour of a state; grey for one that this version does not know."""
    known = STATES.get(state)
    return known.color if known is not None else "#9e9e9e"
