"""Text from templates, filled with inputs and facts of the run."""

from prefect_dask.tasks.templates.jinja2 import JinjaTemplate
from prefect_dask.tasks.templates.strings import StringFormatter

__all__ = ["JinjaTemplate", "StringFormatter"]
