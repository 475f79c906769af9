"""Old import path, and what stands behind it: two tables, and nothing else.

In SERVED, behind an old module stands either the name of one of ours, which is then served as it
is, or a list of what it offers: "module" for all public names of a module, "module:name" for one,
"module:name as old" for one that had another name.

In GONE, behind an old module or name stands what to use instead. What lies below a module that is
listed there goes by the same words, unless it is listed itself.
"""

from __future__ import annotations

from typing import Final

_DESCRIPTIONS: Final = "prefect_dask.compat.descriptions"
_POSTGRES: Final = (
    "prefect_dask.tasks.postgres:PostgresExecute",
    "prefect_dask.tasks.postgres:PostgresExecuteMany",
    "prefect_dask.tasks.postgres:PostgresFetch",
)

SERVED: Final[dict[str, str | list[str]]] = {
    "prefect": ["prefect_dask"],
    # ---- writing flows
    "prefect.core": [
        "prefect_dask:Edge",
        "prefect_dask:Flow",
        "prefect_dask:Parameter",
        "prefect_dask:Task",
    ],
    "prefect.core.edge": "prefect_dask.edge",
    "prefect.core.flow": "prefect_dask.flow",
    "prefect.core.parameter": "prefect_dask.parameter",
    "prefect.core.task": "prefect_dask.task",
    "prefect.triggers": "prefect_dask.triggers",
    "prefect.artifacts": "prefect_dask.artifacts",
    # ---- running them
    "prefect.engine": [],
    "prefect.engine.cache_validators": "prefect_dask.engine.cache_validators",
    "prefect.engine.executors": ["prefect_dask.executors"],
    "prefect.engine.executors.dask": ["prefect_dask.executors"],
    "prefect.engine.executors.local": ["prefect_dask.executors"],
    "prefect.engine.result": ["prefect_dask.engine.result:Result"],
    "prefect.engine.result.base": ["prefect_dask.engine.result:Result"],
    "prefect.engine.results": ["prefect_dask.engine.results"],
    "prefect.engine.results.azure_result": ["prefect_dask.engine.results:AzureResult"],
    "prefect.engine.results.constant_result": ["prefect_dask.engine.results:ConstantResult"],
    "prefect.engine.results.gcs_result": ["prefect_dask.engine.results:GCSResult"],
    "prefect.engine.results.local_result": ["prefect_dask.engine.results:LocalResult"],
    "prefect.engine.results.prefect_result": ["prefect_dask.engine.results:PrefectResult"],
    "prefect.engine.results.s3_result": ["prefect_dask.engine.results:S3Result"],
    "prefect.engine.results.secret_result": ["prefect_dask.engine.results:SecretResult"],
    "prefect.engine.serializers": "prefect_dask.engine.serializers",
    "prefect.engine.signals": "prefect_dask.engine.signals",
    "prefect.engine.state": "prefect_dask.engine.state",
    "prefect.executors": ["prefect_dask.executors"],
    "prefect.executors.base": ["prefect_dask.executors"],
    "prefect.executors.dask": ["prefect_dask.executors"],
    "prefect.executors.local": ["prefect_dask.executors"],
    # ---- when, and on what machine: the second is for agents, a run in this process ignores it
    "prefect.schedules": "prefect_dask.schedules",
    "prefect.schedules.adjustments": "prefect_dask.schedules.adjustments",
    "prefect.schedules.clocks": "prefect_dask.schedules.clocks",
    "prefect.schedules.filters": "prefect_dask.schedules.filters",
    "prefect.schedules.schedules": "prefect_dask.schedules.schedules",
    "prefect.run_configs": [
        f"{_DESCRIPTIONS}:DockerRun",
        f"{_DESCRIPTIONS}:ECSRun",
        f"{_DESCRIPTIONS}:KubernetesRun",
        f"{_DESCRIPTIONS}:LocalRun",
        f"{_DESCRIPTIONS}:RunConfig",
        f"{_DESCRIPTIONS}:UniversalRun",
        f"{_DESCRIPTIONS}:VertexRun",
    ],
    "prefect.storage": [
        f"{_DESCRIPTIONS}:Azure",
        f"{_DESCRIPTIONS}:Bitbucket",
        f"{_DESCRIPTIONS}:CodeCommit",
        f"{_DESCRIPTIONS}:Docker",
        f"{_DESCRIPTIONS}:GCS",
        f"{_DESCRIPTIONS}:Git",
        f"{_DESCRIPTIONS}:GitHub",
        f"{_DESCRIPTIONS}:GitLab",
        f"{_DESCRIPTIONS}:Local",
        f"{_DESCRIPTIONS}:Module",
        f"{_DESCRIPTIONS}:S3",
        f"{_DESCRIPTIONS}:Storage",
        f"{_DESCRIPTIONS}:Webhook",
    ],
    # ---- the task library
    "prefect.tasks": [],
    "prefect.tasks.control_flow": ["prefect_dask.tasks.control_flow"],
    "prefect.tasks.control_flow.case": "prefect_dask.tasks.control_flow.case",
    "prefect.tasks.control_flow.conditional": "prefect_dask.tasks.control_flow.conditional",
    "prefect.tasks.control_flow.filter": "prefect_dask.tasks.control_flow.filter",
    "prefect.tasks.core": [],
    "prefect.tasks.core.collections": "prefect_dask.tasks.collections",
    "prefect.tasks.core.constants": "prefect_dask.tasks.constants",
    "prefect.tasks.core.function": ["prefect_dask.task:FunctionTask"],
    "prefect.tasks.core.resource_manager": ["prefect_dask:resource_manager"],
    "prefect.tasks.database": "prefect_dask.tasks.database",
    "prefect.tasks.database.sqlite": "prefect_dask.tasks.database.sqlite",
    "prefect.tasks.files": "prefect_dask.tasks.files",
    "prefect.tasks.files.compression": "prefect_dask.tasks.files.compression",
    "prefect.tasks.files.operations": "prefect_dask.tasks.files.operations",
    "prefect.tasks.notifications": "prefect_dask.tasks.notifications",
    "prefect.tasks.notifications.email_task": "prefect_dask.tasks.notifications.email_task",
    "prefect.tasks.notifications.slack_task": "prefect_dask.tasks.notifications.slack_task",
    "prefect.tasks.postgres": [*_POSTGRES],
    "prefect.tasks.postgres.postgres": [*_POSTGRES],
    "prefect.tasks.secrets": ["prefect_dask.tasks.secrets"],
    "prefect.tasks.secrets.base": ["prefect_dask.tasks.secrets"],
    "prefect.tasks.secrets.env_var": ["prefect_dask.tasks.secrets"],
    "prefect.tasks.shell": "prefect_dask.tasks.shell",
    "prefect.tasks.templates": "prefect_dask.tasks.templates",
    "prefect.tasks.templates.jinja2": "prefect_dask.tasks.templates.jinja2",
    "prefect.tasks.templates.strings": "prefect_dask.tasks.templates.strings",
    # ---- what had no better place
    "prefect.client": ["prefect_dask.tasks.secrets:Secret"],
    "prefect.client.secrets": ["prefect_dask.tasks.secrets:Secret"],
    "prefect.utilities": [],
    "prefect.utilities.configuration": [
        "prefect_dask.settings:config",
        "prefect_dask.settings:set_temporary_config",
    ],
    "prefect.utilities.context": [
        "prefect_dask.engine.context:Context",
        "prefect_dask.engine.context:context",
    ],
    "prefect.utilities.debug": ["prefect_dask.raising:raise_on_exception"],
    "prefect.utilities.edges": "prefect_dask.mapping",
    "prefect.utilities.logging": ["prefect_dask.engine.logs:get_logger"],
    "prefect.utilities.notifications": ["prefect_dask.tasks.notifications:slack_notifier"],
    "prefect.utilities.notifications.notifications": [
        "prefect_dask.tasks.notifications:slack_notifier"
    ],
    "prefect.utilities.tasks": [
        "prefect_dask.task_defaults:defaults_from_attrs",
        "prefect_dask.tasks.control_flow:pause_task",
        "prefect_dask:apply_map",
        "prefect_dask:tags",
        "prefect_dask:task",
        "prefect_dask:unmapped",
    ],
}

_CLOUD: Final = (
    "flows of prefect_dask run in this process or on a Dask cluster, without a server; run the "
    "flow with flow.run(), and read states from what it returns"
)
_OWN_TASK: Final = (
    "the task library has no such tasks; call the client library of that service in a function "
    "of your own, and make it a task with @task"
)
_RUNNER: Final = (
    "runners take a compiled flow here; use flow.run(parameters=…, executor=…, task_states=…)"
)
_NEWER: Final = (
    "it is a name of Prefect 2 or later; what is served here are the names of 0.15 to 1.4, "
    "where a flow is written as `with Flow(name) as flow:`"
)

GONE: Final[dict[str, str]] = {
    "prefect": (
        "it serves the parts of Prefect 0.15 to 1.4 with which flows are written and run; see "
        "the page 'Coming from Prefect 1' in its documentation"
    ),
    "prefect.Client": _CLOUD,
    "prefect.Flow.register": _CLOUD,
    "prefect.agent": _CLOUD,
    "prefect.api": _CLOUD,
    "prefect.backend": _CLOUD,
    "prefect.cli": "run the file with `python -m prefect_dask.compat FILE`",
    "prefect.client.Client": _CLOUD,
    "prefect.client.client": _CLOUD,
    "prefect.engine.FlowRunner": _RUNNER,
    "prefect.engine.TaskRunner": _RUNNER,
    "prefect.engine.cloud": _CLOUD,
    "prefect.engine.flow_runner": _RUNNER,
    "prefect.engine.result_handlers": (
        "use the results of prefect.engine.results, such as LocalResult(dir=…)"
    ),
    "prefect.engine.runner": _RUNNER,
    "prefect.engine.task_runner": _RUNNER,
    "prefect.environments": (
        "give the flow an executor, as Flow(name, executor=DaskExecutor()), and for agents a "
        "run_config; results are said by Flow(result=…)"
    ),
    "prefect.exceptions": (
        "its exceptions are those of prefect_dask.engine.errors and prefect_dask.errors; what a "
        "user can do wrong is a ValueError too"
    ),
    "prefect.flow": _NEWER,
    "prefect.flows": _NEWER,
    "prefect.deployments": _NEWER,
    "prefect.blocks": _NEWER,
    "prefect.get_run_logger": _NEWER,
    "prefect.task_runners": _NEWER,
    "prefect.serialization": (
        "use flow.serialize(), or flow.save(path) and Flow.load(path) for a whole flow"
    ),
    "prefect.tasks": _OWN_TASK,
    "prefect.tasks.core.operators": "operators build tasks by themselves: write a + b, a > b, a[key]",
    "prefect.tasks.docker": (
        "the task library starts no containers; run `docker` in a ShellTask, or call the docker "
        "library in a function of your own with @task"
    ),
    "prefect.tasks.kubernetes": (
        "the task library starts no pods; call the kubernetes library in a function of your own "
        "with @task, or run the flow on a cluster by DaskExecutor(cluster_class=…)"
    ),
    "prefect.tasks.prefect": (
        "run a flow as a task by RunFlow of prefect_dask.tasks.prefect; there is no server yet "
        "whose flow runs could be made and waited for"
    ),
    "prefect.utilities": (
        "it was a helper of Prefect's own code; take it from the standard library, or write it in "
        "your own"
    ),
    "prefect.utilities.graphql": _CLOUD,
    "prefect.utilities.notifications.gmail_notifier": (
        "use email_notifier of prefect_dask.tasks.notifications"
    ),
    "prefect.utilities.executors": "use @task(timeout=…) for time limits",
    "prefect.utilities.exceptions": (
        "its exceptions are those of prefect_dask.engine.errors and prefect_dask.errors"
    ),
}
