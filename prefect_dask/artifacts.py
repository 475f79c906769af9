"""What tasks make for people to look at, kept with the run: text and links."""

from __future__ import annotations

from typing import Final

from prefect_dask.engine.artifacts import artifact_of, taker_here
from prefect_dask.errors import ArtifactOutsideTask, ArtifactTooLarge

SIZE_LIMIT_BYTES: Final = 1_000_000
"""How large an artifact may be. It goes the way that states go, and into the ledger; what is larger is a file."""


def create_markdown(markdown: str, name: str = "") -> None:
    """Keep a text with the run of the task that calls this, for people to read.

    `Ledger.artifacts(run_id)` has it. Secrets in it are masked. Where the run is not recorded, it is gone.

    Args:
        markdown: The text.
        name: What it is called.

    Raises:
        ArtifactOutsideTask: No task runs here.
        ArtifactTooLarge: It has more than `SIZE_LIMIT_BYTES` in UTF-8.
    """
    _create("markdown", name, markdown)


def create_link(link: str, name: str = "") -> None:
    """Keep a link with the run of the task that calls this, as `create_markdown` keeps a text.

    Args:
        link: The address.
        name: What it is called.

    Raises:
        ArtifactOutsideTask, ArtifactTooLarge: As for `create_markdown`.
    """
    _create("link", name, link)


def _create(kind: str, name: str, text: str) -> None:
    take = taker_here()
    if take is None:
        raise ArtifactOutsideTask(kind)
    size_bytes = len(text.encode("utf-8", "surrogatepass"))
    if size_bytes > SIZE_LIMIT_BYTES:
        raise ArtifactTooLarge(name or kind, size_bytes, SIZE_LIMIT_BYTES)
    take(artifact_of(kind, name, text))
