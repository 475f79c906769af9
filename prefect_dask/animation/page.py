"""The page on which a flow run is played: Bokeh's sources and figures, and our script that moves them."""

from __future__ import annotations

import json
from collections import Counter
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

from prefect_dask.animation.figures import (
    BAR_BOTTOM,
    BAR_INSET,
    BAR_TOP,
    columns_of,
    gantt_models,
    graph_models,
    sources_of,
)
from prefect_dask.animation.scene import Scene
from prefect_dask.animation.timeline import STATE_NAMES, Reader
from prefect_dask.engine.state import STATES, Failed, Finished, Looped
from prefect_dask.pictures.colors import text_color
from prefect_dask.pictures.style import in_order

if TYPE_CHECKING:
    from bokeh.document import Document

#: How much faster than it was a run may be played; below 1, slower.
SPEEDS: Final = (0.001, 0.01, 0.1, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)

_SCRIPTS: Final = ("timeline.js", "drawing.js", "player.js")


class Page:
    """The page of one flow run, in a Bokeh document.

    Args:
        reader: Reads the run; has read nothing yet.
        scene: Where its tasks stand.
        is_served: Whether it is told what comes later.
    """

    def __init__(self, reader: Reader, scene: Scene, *, is_served: bool) -> None:
        self._reader, self._scene, self._is_served = reader, scene, is_served
        self._sources = sources_of(reader.read())

    @property
    def is_over(self) -> bool:
        """Whether the run was over when it was last looked at."""
        return self._reader.run.ended is not None

    def look(self) -> None:
        """Tell the page what came since the last look."""
        tables = self._reader.read().tables()
        facts = tables.pop("facts")
        for name, columns in tables.items():
            if any(columns.values()):
                self._sources[name].stream(columns_of(columns))
        # Last: at its word the page takes in all of it.
        self._sources["facts"].data = facts

    def fill(self, document: Document) -> None:
        """Put the page into an empty document."""
        from bokeh.models import CustomJS

        models = {**graph_models(self._scene), **gantt_models(), **self._sources}
        for root in (models["graph"], models["gantt"]):
            document.add_root(root)
        start = CustomJS(
            args={"models": models},
            code='window.player = new Player(models, JSON.parse(document.getElementById("plan").textContent))',
        )
        # What the document's own events alone refer to is not watched for changes.
        models["gantt"].tags = list(self._sources.values())
        document.js_on_event("document_ready", start)
        self._sources["facts"].js_on_change("data", CustomJS(code="window.player?.takeNews()"))
        document.title = f"{self._reader.run.name}: prefect_dask"
        document.template = _text("page.html")
        document.template_variables.update(self._variables())

    def _variables(self) -> dict[str, Any]:
        run = self._reader.run
        begun = run.begun.astimezone().strftime("%Y-%m-%d %H:%M:%S")
        return {
            "style": _text("page.css"),
            "script": "\n".join(map(_text, _SCRIPTS)),
            "plan": as_json_in_html(self._plan()),
            "flow": run.flow_name,
            "about": f"{run.run_id[:12]} · begun {begun}",
            "speeds": [f"{speed:g}" for speed in SPEEDS],
        }

    def _plan(self) -> dict[str, Any]:
        """What does not change while the run goes on."""
        flow, scene = self._reader.flow, self._scene
        inputs: dict[int, list[tuple[int, str, bool]]] = {}
        for up, down, key, is_mapped, _ in flow.edges:
            if key:
                inputs.setdefault(down, []).append((up, key, is_mapped))
        named = Counter(task.name for task in flow.tasks)
        in_bar = in_order(dict.fromkeys(STATE_NAMES, 1))
        place_of = {name: place for place, (name, _) in enumerate(in_bar)}
        return {
            "flow": flow.name,
            "isServed": self._is_served,
            "states": [
                {
                    "name": name,
                    "color": STATES[name].color,
                    "ink": text_color(STATES[name].color),
                    "place": place_of[name],
                    "isDone": issubclass(STATES[name], Finished)
                    and not issubclass(STATES[name], Looped),
                    "isFailed": issubclass(STATES[name], Failed),
                }
                for name in STATE_NAMES
            ],
            "tasks": [
                {
                    "name": task.name if named[task.name] == 1 else task.slug,
                    "inputs": inputs.get(task.index, []),
                }
                for task in flow.tasks
            ],
            "boxOf": scene.box_of,
            "boxCount": len(scene.boxes),
            "scene": {
                "width": scene.width,
                "height": scene.height,
                "bar": {"top": BAR_TOP, "bottom": BAR_BOTTOM, "inset": BAR_INSET},
                "boxes": [
                    {
                        "name": box.name,
                        "tasks": box.tasks,
                        "isMany": box.is_many,
                        "x": box.x,
                        "y": box.y,
                        "width": box.width,
                    }
                    for box in scene.boxes
                ],
            },
        }


def as_json_in_html(value: Any) -> str:
    """A value as JSON that may stand in a page.

    >>> as_json_in_html("</script>")
    '"\\\\u003c/script\\\\u003e"'
    """
    text = json.dumps(value, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


@cache
def _text(name: str) -> str:
    return (files("prefect_dask.animation") / name).read_text(encoding="utf-8")
