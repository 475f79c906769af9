"""The process of a detached flow run: takes it in, says that it has begun, and runs it to its end.

What comes in is what `detaching` sends: over stdin, since secrets may be in it. What goes out first, over stdout,
is one word; from then on both outputs are the log.
"""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import replace


def main() -> None:
    """Run what stdin says."""
    if hasattr(os, "fork") and os.fork():
        # Nobody's child: whoever started this one may end, or be ended with all that it started.
        os._exit(0)
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    home = _Home()
    payload = sys.stdin.buffer.read()
    try:
        run_detached(payload, home)
    except BaseException as error:
        home.tell_failure(error)
        raise


class _Home:
    """The way to the process that started this one, for one word; its end is the log's now."""

    def __init__(self) -> None:
        self._pipe: int | None = os.dup(1)
        os.dup2(2, 1)

    def tell(self, word: bytes) -> None:
        """Say it, and close the way; only the first word is said."""
        pipe, self._pipe = self._pipe, None
        if pipe is None:
            return
        try:
            with os.fdopen(pipe, "wb") as file:
                file.write(word)
        except OSError:
            pass  # whoever started this one is gone, which is what this one is for

    def tell_failure(self, error: BaseException) -> None:
        """Say what kept the run from beginning."""
        import cloudpickle

        from prefect_dask.engine.failures import portable_exception, without_secrets

        self.tell(cloudpickle.dumps(portable_exception(without_secrets(error))))


def run_detached(payload: bytes, home: _Home) -> None:
    """Run what the payload holds; `home` is told when it has begun.

    Args:
        payload: As `detaching` made it.
        home: The way to the process that made it.
    """
    import pickle

    from prefect_dask.detaching import BEGUN, Detached
    from prefect_dask.ledger import place_given
    from prefect_dask.ledger.configured import journal_folder
    from prefect_dask.ledger.writer import known_writer
    from prefect_dask.settings import set_temporary_config

    # From the process that started this one, over a pipe that nobody else holds.
    detached: Detached = pickle.loads(payload)[1]
    with set_temporary_config(detached.settings):
        place = place_given(detached.run.ledger)
        assert place is not None, "a run that is not recorded is not detached"
        journals = journal_folder()

        def tell_begun() -> None:
            writer = known_writer(place, journals)
            if writer is not None:
                writer.flush()  # who follows it finds it
            home.tell(BEGUN)

        replace(detached.run, on_begun=tell_begun).once(detached.state)
