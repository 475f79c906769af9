"""When a flow runs: clocks give moments, filters leave some out, adjustments move them."""

from prefect_dask.schedules import adjustments, clocks, filters
from prefect_dask.schedules.schedules import (
    CronSchedule,
    IntervalSchedule,
    RRuleSchedule,
    Schedule,
)

__all__ = [
    "CronSchedule",
    "IntervalSchedule",
    "RRuleSchedule",
    "Schedule",
    "adjustments",
    "clocks",
    "filters",
]
