"""Storage and run configurations of old flow files: what they say is kept, and nothing is done.

A flow file makes them at its top level, for an agent somewhere else. A run in this process needs
neither, so they only have to be there.
"""

from __future__ import annotations

from typing import Any


class Description:
    """What a flow file says about where a flow lies or on what it is started.

    Its arguments are attributes. The repr names them without their values: those may be secrets.

    Example:
        >>> DockerRun(image="flows:latest", env={"LEVEL": "debug"})
        <DockerRun: env, image>
    """

    def __init__(self, *args: Any, **settings: Any) -> None:
        self.args = args
        self.__dict__.update(settings)

    def __repr__(self) -> str:
        named = ", ".join(sorted(name for name in vars(self) if name != "args"))
        return f"<{type(self).__name__}{': ' + named if named else ''}>"

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment]  # a description may be changed, as a dict may


class Storage(Description):
    """Where an agent finds a flow."""


class Azure(Storage):
    """A blob in Azure."""


class Bitbucket(Storage):
    """A file in a repository on Bitbucket."""


class CodeCommit(Storage):
    """A file in a repository on AWS CodeCommit."""


class Docker(Storage):
    """A container image."""


class GCS(Storage):
    """An object in Google Cloud Storage."""


class Git(Storage):
    """A file in a git repository."""


class GitHub(Storage):
    """A file in a repository on GitHub."""


class GitLab(Storage):
    """A file in a repository on GitLab."""


class Local(Storage):
    """A file on the agent's machine."""


class Module(Storage):
    """A module that the agent can import."""


class S3(Storage):
    """An object in S3."""


class Webhook(Storage):
    """Whatever answers at an address."""


class RunConfig(Description):
    """On what an agent starts a flow run."""


class DockerRun(RunConfig):
    """A container."""


class ECSRun(RunConfig):
    """A task of AWS ECS."""


class KubernetesRun(RunConfig):
    """A job of Kubernetes."""


class LocalRun(RunConfig):
    """A process on the agent's machine."""


class UniversalRun(RunConfig):
    """Whatever the agent starts."""


class VertexRun(RunConfig):
    """A job of Google Vertex AI."""
