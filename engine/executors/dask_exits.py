"""In the nannies of a Dask cluster: telling its scheduler how worker processes end."""

from __future__ import annotations

from typing import Any

from distributed.diagnostics.plugin import NannyPlugin

#: Where our plugin in nannies tells how worker processes ended.
EXIT_TOPIC = "prefect_dask-worker-exit"


def exit_watch() -> NannyPlugin:
    """A plugin for nannies, which need not have this package."""
    topic = EXIT_TOPIC

    # Made here, so that its code travels with it: a nanny without this package must not fail because of us.
    class ExitWatch(NannyPlugin):
        """In a nanny: tells the exit code of each worker process that ends."""

        def setup(self, nanny: Any) -> None:
            """Called by the nanny when the plugin arrives."""
            told = nanny._on_worker_exit

            async def tell_and_go_on(exit_code: int) -> None:
                try:
                    message = {"worker": nanny.worker_address, "exit_code": exit_code}
                    await nanny.scheduler.log_event(topic=topic, msg=message)
                except Exception:  # the scheduler is gone, too
                    pass
                await told(exit_code)

            nanny._on_worker_exit = tell_and_go_on

        def teardown(self, nanny: Any) -> None:
            """Called by the nanny when it ends."""
            del nanny._on_worker_exit

    return ExitWatch()
