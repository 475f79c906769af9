"""A flow on a schedule: it runs at each event, with the parameters of the clock."""

from datetime import datetime, timedelta, timezone

import prefect
from prefect import Flow, Parameter, task
from prefect.schedules import IntervalSchedule, Schedule
from prefect.schedules.clocks import DatesClock, IntervalClock
from prefect.schedules.filters import is_weekday

START = datetime.now(timezone.utc) + timedelta(seconds=2)
RAN = []

soon = Schedule(
    clocks=[
        DatesClock([START], parameter_defaults={"name": "Ann"}),
        DatesClock([START + timedelta(seconds=1)], parameter_defaults={"name": "Bob"}),
    ]
)


@task
def greet(name):
    RAN.append(name)
    return f"Hello, {name}, scheduled for {prefect.context.scheduled_start_time:%H:%M}"


with Flow("greetings", schedule=soon) as flow:
    name = Parameter("name", default="World")
    greeting = greet(name)

if __name__ == "__main__":
    state = flow.run()
    print(RAN, state.is_successful())

    state = flow.run(run_on_schedule=False)
    print(RAN[-1], state.result[greeting].result.startswith("Hello, World"))

    monday = datetime(2024, 1, 1, tzinfo=timezone.utc)
    daily = IntervalSchedule(start_date=monday, interval=timedelta(days=1))
    print([event.day for event in daily.next(3, after=monday + timedelta(hours=1))])
    workdays = Schedule(clocks=[IntervalClock(timedelta(days=1), monday)], filters=[is_weekday])
    print([event.day for event in workdays.next(3, after=monday + timedelta(days=3, hours=1))])
