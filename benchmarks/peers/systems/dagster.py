"""Dagster: ops in a job, with inputs of the type Nothing, in this process and with an instance in memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import dagster

from ..shapes import Body, Shape, noop

#: Five lines a task on the terminal are not part of the comparison.
QUIET = {"loggers": {"console": {"config": {"log_level": "ERROR"}}}}


@dagster.op(ins={"above": dagster.In(dagster.Nothing)}, out=dagster.Out(dagster.Nothing))
def joined():
    noop()


@dagster.op(out=dagster.DynamicOut(int), config_schema={"count": int})
def numbers(context):
    for number in range(context.op_config["count"]):
        yield dagster.DynamicOutput(number, mapping_key=str(number))


@dagster.op
def child(number: int) -> None:
    return None


class Dagster:
    def __init__(self, instance: dagster.DagsterInstance) -> None:
        self.instance = instance

    def graph(self, shape: Shape, root: Body):
        @dagster.op(out=dagster.Out(dagster.Nothing))
        def first():
            root()

        @dagster.job
        def whole():
            outputs = []
            for i, above in enumerate(shape):
                if above:
                    node = joined.alias(f"task_{i}")
                    outputs.append(node(above=[outputs[index] for index in above]))
                else:
                    outputs.append(first.alias(f"task_{i}")())

        return lambda: self.run(whole, {})

    def mapped(self, count: int):
        @dagster.job
        def whole():
            numbers().map(child)

        config = {"ops": {"numbers": {"config": {"count": count}}}}
        return lambda: self.run(whole, config)

    def run(self, job: dagster.JobDefinition, config: dict) -> None:
        result = job.execute_in_process(instance=self.instance, run_config={**QUIET, **config})
        if not result.success:
            raise RuntimeError(f"{result.run_id} failed")


@contextmanager
def started(place: str) -> Iterator[Dagster]:
    with dagster.DagsterInstance.ephemeral() as instance:
        yield Dagster(instance)
