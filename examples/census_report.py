"""Draws the census as one HTML page that needs nothing but itself to be read."""

from __future__ import annotations

import html
import platform
import string
from collections import Counter
from collections.abc import Iterable
from typing import Any

Row = dict[str, Any]
LINES = ("code", "docstring", "comment", "blank")
THINGS = ("functions", "classes", "imports")


def draw_table(headings: str, rows: Iterable[Iterable[Any]]) -> str:
    """Draw rows as an HTML table; a heading with # stands over numbers, which stand right."""
    columns = [
        (heading.strip(" #"), ' class="n"' if "#" in heading else "")
        for heading in headings.split(",")
    ]
    lines = ["".join(f"<th{align}>{heading}</th>" for heading, align in columns)]
    for row in rows:
        texts = [f"{x:,}" if isinstance(x, int) else html.escape(str(x or "")) for x in row]
        cells = zip(texts, columns, strict=True)
        lines.append("".join(f"<td{align}>{text}</td>" for text, (_, align) in cells))
    body = "\n".join(f"<tr>{line}</tr>" for line in lines)
    return f'<div class="wide"><table>{body}</table></div>'


def draw_chart(packages: list[Row]) -> str:
    """Draw the lines of each package as a bar of four parts, in one SVG image."""
    scale = 540 / max((row["lines"] or 1 for row in packages), default=1)
    bars = []
    for place, row in enumerate(packages):
        x, y, name = 170.0, 26 * place, html.escape(row["package"])
        bars.append(f'<text x="{x - 10}" y="{y + 16}" class="name">{name}</text>')
        for kind in LINES:
            width = row[kind] * scale
            bars.append(
                f'<rect class="{kind}" x="{x:.1f}" y="{y + 2}" width="{width:.1f}" height="18">'
                f"<title>{name}: {row[kind]:,} lines {kind}</title></rect>"
            )
            x += width
        bars.append(f'<text x="{x + 8:.1f}" y="{y + 16}" class="soft">{row["lines"]:,}</text>')
    box = f'viewBox="0 0 800 {26 * len(packages)}" role="img" aria-label="Lines per package"'
    return f'<div class="wide"><svg {box}>{"".join(bars)}</svg></div>'


def draw_page(census: dict[str, list[Row]], taken: str) -> str:
    """Draw the whole report; the same census gives the same text."""
    [total] = census["total"]
    tiles = {"files": total["files"], "packages": len(census["package"])}
    tiles |= {count: total[count] for count in ("lines", *THINGS)}
    longest = sorted(census["file"], key=lambda row: (-row["longest_lines"], row["path"]))[:15]
    kinds = Counter((row["kind"], row["message"].split(" (")[0]) for row in census["problem"])
    columns = ("package", "version", "files", "lines", *LINES, *THINGS, "problems")
    return string.Template(PAGE).substitute(
        python=platform.python_version(),
        taken=taken,
        tiles="".join(f"<div><b>{n:,}</b>{name}</div>" for name, n in tiles.items()),
        legend="".join(
            f'<span><i class="{kind}"></i>{kind} {total[kind] / max(1, total["lines"]):.0%}</span>'
            for kind in LINES
        ),
        chart=draw_chart(census["package"][:15]),
        longest=draw_table(
            "# Lines,Function,Package,File",
            (
                (row["longest_lines"], row["longest_function"], row["package"], row["path"])
                for row in longest
            ),
        ),
        kinds=draw_table(
            "# Files,Kind,What the parser said", ((n, *kind) for kind, n in kinds.most_common())
        ),
        problems=draw_table(
            "Package,File,Kind,Message",
            ([row[c] for c in ("package", "path", "kind", "message")] for row in census["problem"]),
        ),
        packages=draw_table(
            "Package,Version,# " + ",# ".join(columns[2:]).title(),
            ([row[c] for c in columns] for row in census["package"]),
        ),
    )


PAGE = """<!DOCTYPE html>
<html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Census of Python source</title>
<style>
:root { color-scheme: light dark; --back: #fcfcfa; --ink: #22252a; --soft: #666c74;
  --rule: #e2e2dc; --code: #2f6f9f; --docstring: #58a183; --comment: #d9a441; --blank: #c9ccd0; }
@media (prefers-color-scheme: dark) {
  :root { --back: #16181c; --ink: #e4e6e9; --soft: #989fa8; --rule: #30343a;
    --code: #5b9fd0; --docstring: #63b694; --comment: #d5a54e; --blank: #4a4f57; } }
body { margin: 2.5rem auto; max-width: 64rem; padding: 0 1rem; background: var(--back);
  color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
h1 { margin: 0; font-size: 1.7rem; } h2 { margin: 2.5rem 0 .6rem; font-size: 1.15rem; }
p, th, .tiles, .soft { color: var(--soft); fill: var(--soft); }
.tiles { display: flex; flex-wrap: wrap; gap: .5rem 2.2rem; margin-top: 1.5rem; }
.tiles b { display: block; color: var(--ink); font-size: 1.5rem; line-height: 1.2; }
svg { width: 100%; min-width: 36rem; fill: var(--ink); font: 13px system-ui, sans-serif; }
.name { text-anchor: end; }
.legend { display: flex; flex-wrap: wrap; gap: .3rem 1.4rem; margin-bottom: .8rem; }
i { display: inline-block; width: .8em; height: .8em; margin-right: .4em; border-radius: 2px; }
.code { fill: var(--code); background: var(--code); }
.docstring { fill: var(--docstring); background: var(--docstring); }
.comment { fill: var(--comment); background: var(--comment); }
.blank { fill: var(--blank); background: var(--blank); }
.wide { overflow-x: auto; } table { border-collapse: collapse; width: 100%; font-size: .87rem; }
th, td { padding: .3rem .8rem .3rem 0; border-bottom: 1px solid var(--rule); text-align: left;
  vertical-align: top; overflow-wrap: anywhere; min-width: 5.5rem; }
th { font-weight: 500; }
.n { min-width: 0; white-space: nowrap; text-align: right; font-variant-numeric: tabular-nums; }
summary { cursor: pointer; margin: .8rem 0; }
</style>
<h1>Census of Python source</h1>
<p>What Python $python has installed, counted on $taken.</p>
<div class="tiles">$tiles</div>
<h2>Lines per package</h2>
<div class="legend">$legend</div>
$chart
<h2>Longest functions</h2>
$longest
<h2>Files that could not be counted</h2>
$kinds
<details><summary>Each of them</summary>$problems</details>
<h2>Every package</h2>
$packages
</html>
"""
