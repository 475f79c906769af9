"""Bokeh's part of the page: sources with what is told of the run, and two figures that our script draws into."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import atan2, cos, pi, sin
from typing import TYPE_CHECKING, Any, Final

from prefect_dask.animation.scene import Scene, along
from prefect_dask.animation.timeline import News
from prefect_dask.pictures.sized import Point

if TYPE_CHECKING:
    from bokeh.models import ColumnDataSource, GlyphRenderer, HoverTool, Text
    from bokeh.plotting import figure

#: What numbers in a column are kept as: most are places in other columns.
_TYPES: Final = {"at": "float64", "state": "uint8"}


#: Where things stand in a box with a histogram, pixels from its middle, and from its sides.
LABEL_UP, COUNT_DOWN, BAR_TOP, BAR_BOTTOM, BAR_INSET = 14.0, 18.0, 6.0, -7.0, 8.0

#: So many bars have names at a time.
MOST_NAMES: Final = 300

#: In a hint; the colours are the page's.
_TOLD: Final = (
    ".told { margin: -5px; padding: 7px 10px; max-width: 420px; white-space: pre-line; overflow-wrap: anywhere;"
    " background: var(--card); color: var(--ink); font: 12px/1.5 system-ui, 'DejaVu Sans', sans-serif }"
    " .told::first-line { font-weight: 600 }"
)

#: How far the middle of an arrow's head is from its tip, pixels.
HEAD: Final = 3.0


def columns_of(columns: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
    """Columns as arrays, which travel as bytes; texts stay lists."""
    import numpy as np

    return {
        name: list(column)
        if column and isinstance(column[0], str)
        else np.asarray(column, dtype=_TYPES.get(name, "int32"))
        for name, column in columns.items()
    }


def sources_of(news: News) -> dict[str, ColumnDataSource]:
    """A source for each table of what is told of a run."""
    from bokeh.models import ColumnDataSource

    return {
        name: ColumnDataSource(data=columns if name in ("facts", "texts") else columns_of(columns))
        for name, columns in news.tables().items()
    }


def graph_models(scene: Scene) -> dict[str, Any]:
    """The figure of the graph, and what our script changes in it, by name."""
    from bokeh.models import ColumnDataSource, CustomJS, MultiLine, Range1d, Rect, Scatter

    plot = _figure("graph", x_range=Range1d(0, 1), y_range=Range1d(0, 1), tools="pan,wheel_zoom")
    plot.axis.visible = False
    plot.grid.visible = False
    plot.outline_line_color = None
    lines = [along(arrow.points) for arrow in scene.arrows]
    edges = ColumnDataSource(
        {
            "xs": [[x for x, _ in line] for line in lines],
            "ys": [[-y for _, y in line] for line in lines],
            "dash": ["dashed" if arrow.kind == "state" else "solid" for arrow in scene.arrows],
            "width": [2.4 if arrow.kind == "mapped" else 1.2 for arrow in scene.arrows],
        }
    )
    heads = ColumnDataSource(_heads([line[-2:] for line in lines]))
    boxes = ColumnDataSource(_box_columns(scene))
    segments = _empty("left", "right", "top", "bottom", "fill")
    edge_glyph = MultiLine(xs="xs", ys="ys", line_dash="dash", line_width="width")
    head_glyph = Scatter(x="x", y="y", size=7, marker="triangle", angle="angle")
    track_glyph = Rect(
        x="x",
        y="bar_y",
        width="bar_width",
        height=BAR_TOP - BAR_BOTTOM,
        line_color=None,
        border_radius=2,
    )
    card = Rect(
        x="x",
        y="y",
        width="width",
        height="height",
        fill_color="fill",
        line_color="line",
        line_width=1.6,
        border_radius=6,
    )
    label = _text_glyph("label", "label_y", weight="bold")
    told = _text_glyph("told", "told_y")
    plot.add_glyph(edges, edge_glyph)
    plot.add_glyph(heads, head_glyph)
    cards = plot.add_glyph(boxes, card)
    plot.add_glyph(boxes, track_glyph)
    plot.quad("left", "right", "top", "bottom", source=segments, fill_color="fill", line_color=None)
    plot.add_glyph(boxes, label)
    plot.add_glyph(boxes, told)
    plot.add_tools(_hover(cards, "box", "aboutBox"))
    plot.js_on_event("doubletap", CustomJS(code="window.player.showAll('picture')"))
    _keep_in_browser(plot)
    return {
        "graph": plot,
        "boxes": boxes,
        "segments": segments,
        "edge_glyph": edge_glyph,
        "head_glyph": head_glyph,
        "track_glyph": track_glyph,
        "texts_of_boxes": [[label, 12.5], [told, 10.5]],
    }


def gantt_models() -> dict[str, Any]:
    """The figure of the workers, and what our script changes in it, by name."""
    from bokeh.models import (
        BoxAnnotation,
        ColumnDataSource,
        CustomJS,
        CustomJSTickFormatter,
        FixedTicker,
        HSpan,
        PanTool,
        Range1d,
        Span,
        WheelZoomTool,
    )

    tools = [PanTool(dimensions="width"), WheelZoomTool(dimensions="width")]
    plot = _figure("gantt", x_range=Range1d(0, 1), y_range=Range1d(-1, 0), tools=tools)
    plot.toolbar.active_scroll = tools[1]
    plot.ygrid.visible = False
    plot.yaxis.ticker = FixedTicker(ticks=[])
    plot.yaxis.minor_tick_line_color = None
    plot.yaxis.major_tick_line_color = None
    plot.xaxis.formatter = CustomJSTickFormatter(code="return tickText(tick, ticks)")
    bars = _empty("bar", "left", "right", "top", "bottom", "fill", "line")
    names = ColumnDataSource(
        {
            **{name: [0.0] * MOST_NAMES for name in ("x", "y")},
            "name": [""] * MOST_NAMES,
            "ink": ["#000000"] * MOST_NAMES,
        }
    )
    marks = _empty("mark", "x", "y", "shape", "colour")
    separators = _empty("y")
    separator_glyph = HSpan(y="y", line_width=1)
    plot.add_glyph(separators, separator_glyph)
    drawn = plot.quad(
        "left", "right", "top", "bottom", source=bars, fill_color="fill", line_color="line"
    )
    plot.add_glyph(names, _text_glyph("name", "y", size="11px", align="left"))
    marked = plot.scatter(
        "x", "y", source=marks, marker="shape", color="colour", size=9, line_width=2
    )
    # On the layer above: they move with each frame, and 10,000 bars are not drawn anew for that.
    future = BoxAnnotation(left=0, level="overlay", fill_alpha=0.6, line_color=None)
    cursor = Span(location=0, dimension="height", level="overlay", line_width=1.5)
    plot.add_layout(future)
    plot.add_layout(cursor)
    plot.add_tools(_hover(drawn, "bar", "aboutBar"), _hover(marked, "mark", "aboutMark"))
    plot.js_on_event("tap", CustomJS(code="window.player.seek(cb_obj.x)"))
    plot.js_on_event("doubletap", CustomJS(code="window.player.showAll('gantt')"))
    _keep_in_browser(plot)
    return {
        "gantt": plot,
        "bars": bars,
        "names": names,
        "marks": marks,
        "separators": separators,
        "separator_glyph": separator_glyph,
        "future": future,
        "cursor": cursor,
        "lane_axis": plot.yaxis[0],
        "lane_tools": tools,
        "time_axis": plot.xaxis[0],
    }


def _heads(ends: Sequence[Sequence[Point]]) -> dict[str, list[float]]:
    """Triangles at the ends of lines, of which the last two points are given; `y` here grows upwards."""
    angles = [atan2(y0 - y1, x1 - x0) for (x0, y0), (x1, y1) in ends]
    # Their tips, not their middles, are where the lines end; an upright triangle points to the top.
    return {
        "x": [x - HEAD * cos(angle) for angle, (_, (x, _)) in zip(angles, ends, strict=True)],
        "y": [-y - HEAD * sin(angle) for angle, (_, (_, y)) in zip(angles, ends, strict=True)],
        "angle": [angle - pi / 2 for angle in angles],
    }


def _box_columns(scene: Scene) -> dict[str, list[Any]]:
    """What is drawn of boxes; our script fills in what changes."""
    boxes = scene.boxes
    return {
        "box": list(range(len(boxes))),
        "x": [box.x for box in boxes],
        "y": [-box.y for box in boxes],
        "width": [box.width for box in boxes],
        "height": [box.height for box in boxes],
        "label": [box.label for box in boxes],
        "label_y": [-box.y + (LABEL_UP if box.is_many else 0) for box in boxes],
        "told_y": [-box.y - COUNT_DOWN for box in boxes],
        "bar_y": [-box.y + (BAR_TOP + BAR_BOTTOM) / 2 for box in boxes],
        "bar_width": [box.width - 2 * BAR_INSET if box.is_many else 0.0 for box in boxes],
        **{name: [""] * len(boxes) for name in ("told", "fill", "line", "ink")},
    }


def _empty(*names: str) -> ColumnDataSource:
    from bokeh.models import ColumnDataSource

    return ColumnDataSource({name: [] for name in names})


def _figure(name: str, **settings: Any) -> figure:
    from bokeh.plotting import figure

    plot = figure(
        name=name,
        sizing_mode="stretch_both",
        background_fill_color=None,
        border_fill_color=None,
        # Bokeh does not clear the outermost row and column of pixels.
        min_border=2,
        toolbar_location=None,
        active_scroll="auto",
        lod_threshold=None,
        **settings,
    )
    return plot


def _keep_in_browser(plot: figure) -> None:
    """Have a server not be told what our script changes, many times a second."""
    for model in plot.references():
        model.syncable = False


def _text_glyph(
    field: str, y: str, *, size: str = "12px", align: str = "center", weight: str = "normal"
) -> Text:
    from bokeh.core.properties import value
    from bokeh.models import Text

    return Text(
        x="x",
        y=y,
        text=field,
        text_color="ink",
        text_align=align,
        text_baseline="middle",
        text_font=value("system-ui, 'DejaVu Sans', sans-serif"),
        text_font_size=size,
        text_font_style=weight,
    )


def _hover(renderer: GlyphRenderer, column: str, about: str) -> HoverTool:
    """Tells what our script says of a row; Bokeh shows that as text, whatever is in it."""
    from bokeh.models import CustomJSHover, HoverTool

    return HoverTool(
        renderers=[renderer],
        limit=1,
        point_policy="follow_mouse",
        tooltips=f'<div class="told"><style>{_TOLD}</style>@{column}{{custom}}</div>',
        formatters={f"@{column}": CustomJSHover(code=f"return window.player.{about}(value)")},
    )
