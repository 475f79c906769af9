"""The page in the Bokeh server of a scheduler's dashboard."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

from prefect_dask.dashboard.board import ShownRun
from prefect_dask.dashboard.page import PAGE_STYLE, STYLE, page

#: Pages that begin so are listed in `individual-plots.json`, which dask-labextension reads.
PATH: Final = "/individual-flow-runs"

#: How often an open page looks for what is new, milliseconds.
LOOK_MILLISECONDS: Final = 500

Look = Callable[[], Sequence[ShownRun]]


def add_page(scheduler: Any, look: Look) -> None:
    """Add the page to the dashboard of a scheduler that runs, and to its menu; do nothing where it has none.

    Args:
        scheduler: The scheduler.
        look: Gives the runs to be shown, each time a page looks.
    """
    server = bokeh_server_of(scheduler)
    if server is None:
        return
    from bokeh.application import Application
    from bokeh.application.handlers.document_lifecycle import DocumentLifecycleHandler
    from bokeh.application.handlers.function import FunctionHandler
    from bokeh.server.contexts import ApplicationContext
    from bokeh.server.urls import per_app_patterns
    from distributed.dashboard.scheduler import template_variables

    # As `BokehTornado` does with those that it is made with; it has no door for others.
    application = Application(FunctionHandler(partial(fill, look)), DocumentLifecycleHandler())
    context = ApplicationContext(application, url=PATH)
    context._loop = server.io_loop
    server._applications[PATH] = context
    prefix = server.prefix + PATH
    facts = {"application_context": context, "bokeh_websocket_path": f"{prefix}/ws"}
    routes = [(prefix + pattern[0], pattern[1], dict(facts)) for pattern in per_app_patterns]
    server.add_handlers(r".*", routes)
    # The list that the menu of each page is made of.
    plots = template_variables(scheduler)["plots"]
    link = {"url": PATH.strip("/"), "name": "Flow Runs"}
    if link not in plots:
        plots.append(link)
        plots.sort(key=lambda plot: plot["name"])


def bokeh_server_of(scheduler: Any) -> Any:
    """The Bokeh server in a scheduler's dashboard; None where it has none."""
    # Where nobody imported it there is none, and importing it takes a second.
    tornado = sys.modules.get("bokeh.server.tornado")
    application = getattr(scheduler, "http_application", None)
    if tornado is None or application is None:
        return None
    servers = [app for app in application.applications if isinstance(app, tornado.BokehTornado)]
    return servers[0] if servers else None


def fill(look: Look, document: Any) -> None:
    """Make a page for somebody who opens it, and keep it as things are."""
    from bokeh.models.css import GlobalInlineStyleSheet, InlineStyleSheet
    from bokeh.models.widgets import Div

    shown = Div(
        text=page(look()),
        sizing_mode="stretch_width",
        margin=0,
        disable_math=True,
        stylesheets=[InlineStyleSheet(css=STYLE), GlobalInlineStyleSheet(css=PAGE_STYLE)],
    )

    def look_again() -> None:
        shown.text = page(look())

    document.add_root(shown)
    document.title = "Dask: Flow Runs"
    document.add_periodic_callback(look_again, LOOK_MILLISECONDS)
