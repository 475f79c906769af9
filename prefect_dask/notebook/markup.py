"""Pieces of HTML for notebooks: text that is escaped and cut, states in their colours, tables, and their style.

No script: what is shown stays readable in a notebook that is saved, mailed and opened without a kernel. Where a
notebook is not trusted the style is left out as well, so what matters is said in words, not by colour alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from reprlib import Repr
from typing import Any

from prefect_dask.engine import secrets
from prefect_dask.engine.state import STATES, State
from prefect_dask.progress.lines import cut

#: So many characters of a name, of a message, and of a value are shown.
LONGEST_NAME, LONGEST_MESSAGE, LONGEST_VALUE = 80, 300, 120

#: What runners say of states that speak for themselves.
PLAIN = frozenset({"Running flow.", "Task run succeeded.", "Preparing children."})

#: So many rows of a table are shown; 10,000 would be a megabyte, which nobody reads and each save writes.
MOST_ROWS = 200

#: So many failures are shown beside how many there are.
MOST_FAILURES = 10

_SHORT = Repr()
_SHORT.maxlist = _SHORT.maxtuple = _SHORT.maxset = _SHORT.maxfrozenset = _SHORT.maxdict = 12
_SHORT.maxstring = _SHORT.maxother = LONGEST_VALUE

# JupyterLab's theme does not follow `prefers-color-scheme`: its variables come first. Elsewhere the system's own
# colours do, which follow it because of `color-scheme`. Greys are half transparent, so that they suit both.
STYLE = """
.prefect-dask{color-scheme:light dark;background:var(--jp-layout-color0,var(--vscode-editor-background,Canvas));
color:var(--jp-content-font-color1,var(--vscode-editor-foreground,CanvasText));
font:13px/1.5 var(--jp-ui-font-family,system-ui,sans-serif);font-variant-numeric:tabular-nums;
border:1px solid rgba(128,128,128,.35);border-radius:4px;padding:8px 12px;margin:2px 0;
max-width:60rem;box-sizing:border-box}
.prefect-dask p,.prefect-dask ul{margin:2px 0!important;padding:0}
.prefect-dask .pd-head{display:flex;flex-wrap:wrap;gap:0 1em;align-items:baseline}
.prefect-dask .pd-soft{opacity:.72}
.prefect-dask .pd-end{margin-left:auto}
.prefect-dask .pd-state{white-space:nowrap;margin-right:1em}
.prefect-dask .pd-state i{display:inline-block;width:.7em;height:.7em;margin-right:.4em;border-radius:50%;
box-shadow:0 0 0 1px rgba(128,128,128,.5)}
.prefect-dask .pd-bar{display:flex;min-width:8rem;height:.6em;border-radius:.3em;overflow:hidden;
background:rgba(128,128,128,.25)}
.prefect-dask .pd-bar i{display:block;height:100%}
.prefect-dask code{font-family:var(--jp-code-font-family,ui-monospace,monospace);font-size:.95em;background:none;
color:inherit;padding:0;overflow-wrap:anywhere}
.prefect-dask summary{cursor:pointer;margin-top:4px}
.prefect-dask table.pd-table{border-collapse:collapse;width:100%;margin:4px 0!important;border:0;font-size:inherit;
table-layout:auto;color:inherit}
.prefect-dask .pd-table tr,.prefect-dask .pd-table tbody tr:nth-child(odd),.prefect-dask .pd-table tbody tr:hover{
background:none!important}
.prefect-dask .pd-table th,.prefect-dask .pd-table td{text-align:left!important;vertical-align:top;
padding:2px 1em 2px 0;border:0;border-top:1px solid rgba(128,128,128,.2);max-width:32rem;
white-space:normal;overflow-wrap:anywhere;color:inherit;background:none}
.prefect-dask .pd-table th{font-weight:600;border-top:0}
.prefect-dask .pd-table td.pd-number,.prefect-dask .pd-table th.pd-number{
text-align:right!important;white-space:nowrap}
.prefect-dask .pd-table td.pd-wide{width:30%;vertical-align:middle}
.prefect-dask .pd-table th.pd-rest{width:60%}
.prefect-dask .pd-gap{stroke:var(--jp-layout-color0,var(--vscode-editor-background,Canvas))}
""".replace("\n", "")


def card(*parts: str) -> str:
    """What is shown below a cell: the parts, with their style."""
    return f'<div class="prefect-dask"><style>{STYLE}</style>{"".join(parts)}</div>'


def text(value: str, most: int = LONGEST_MESSAGE) -> str:
    """A text that stays text in HTML, without the secrets that this process met, cut where it is longer.

    >>> text("<script>"), text("a long story", 6)
    ('&lt;script&gt;', 'a lon…')
    """
    # Cut last: half a secret would not be known for one.
    return escape(cut(secrets.masked(value), most))


def said_beyond(message: str | None) -> str:
    """The message of a state, "" where it says what the state says."""
    return "" if message is None or message in PLAIN else message


def code(value: str, most: int = LONGEST_VALUE) -> str:
    """A text in the letters of code."""
    return f"<code>{text(value, most)}</code>"


def short_repr(value: Any) -> str:
    """The repr of a value, shortened; never more than its type where that raises.

    >>> short_repr([1] * 100), short_repr(b"x" * 10**6)[:7]
    ('[1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, ...]', "b'xxxxx")
    """
    if isinstance(value, bytes | bytearray):
        value = value[:LONGEST_VALUE]  # it would be written out whole before it is cut
    try:
        return " ".join(_SHORT.repr(value).split())
    except Exception:  # of a value of the user's
        return f"<{type(value).__name__}>"


def state(name: str, count: int | None = None) -> str:
    """A state: a dot of its colour and its name, and how many are at it where that is said."""
    kind = STATES.get(name, State)
    counted = "" if count is None else f" {count:,}"
    return f'<span class="pd-state"><i style="background-color:{kind.color}"></i>{escape(name)}{counted}</span>'


def counts(states: Mapping[str, int]) -> str:
    """How many are at which state."""
    return "".join(state(name, count) for name, count in states.items())


def bar(states: Mapping[str, int], whole: int | None) -> str:
    """A bar, filled as far as task runs are at a state, in the colours of these."""
    parts = [
        f'<i style="width:{100 * count / whole:.2f}%;background-color:{STATES.get(name, State).color}"></i>'
        for name, count in states.items()
        if whole
    ]
    return f'<div class="pd-bar">{"".join(parts)}</div>'


def head(kind: str, name: str, *facts: str) -> str:
    """The first line: what it is, what it is called, and facts."""
    shown = "".join(f"<span>{fact}</span>" for fact in facts if fact)
    return (
        f'<p class="pd-head"><span><span class="pd-soft">{escape(kind)}</span> '
        f"<strong>{text(name, LONGEST_NAME)}</strong></span>{shown}</p>"
    )


def facts(rows: Iterable[tuple[str, str]]) -> str:
    """A line for each fact that there is: its name, and what is said of it, which is HTML."""
    return "".join(
        f'<p><span class="pd-soft">{escape(name)}</span> {said}</p>' for name, said in rows if said
    )


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, styles: str = "") -> str:
    """A table of HTML.

    Args:
        columns: What stands above each.
        rows: As many pieces of HTML each.
        styles: A letter a column: "n" for numbers, "w" for a bar, "r" for what takes the rest; others are plain.
    """
    names = {"n": ' class="pd-number"', "w": ' class="pd-wide"', "r": ' class="pd-rest"'}
    of_column = [names.get(styles[at : at + 1], "") for at in range(len(columns))]
    above = "".join(
        f"<th{style}>{escape(name)}</th>" for name, style in zip(columns, of_column, strict=True)
    )
    above = f"<thead><tr>{above}</tr></thead>" if any(columns) else ""
    lines = "".join(
        "<tr>"
        + "".join(f"<td{s}>{cell}</td>" for cell, s in zip(row, of_column, strict=True))
        + "</tr>"
        for row in rows
    )
    return f'<table class="pd-table">{above}<tbody>{lines}</tbody></table>'


def details(summary: str, content: str, *, is_open: bool = False) -> str:
    """What is seen when somebody opens it."""
    opened = " open" if is_open else ""
    return f"<details{opened}><summary>{summary}</summary>{content}</details>"


def more(hidden: int, of_what: str) -> str:
    """That some are left out; "" where none are."""
    return f'<p class="pd-soft">and {hidden:,} more {escape(of_what)}</p>' if hidden > 0 else ""
