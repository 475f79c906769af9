"""JinjaTemplate: a template of Jinja, which comes with distributed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prefect_dask.task import Task
from prefect_dask.tasks.needs import value_of
from prefect_dask.tasks.templates.facts import Facts, UnknownKey

if TYPE_CHECKING:
    import jinja2


class JinjaTemplate(Task):
    """Fills a Jinja template with its inputs and what the context knows.

    Templates run in Jinja's sandbox: one from elsewhere cannot reach into this process.

    Args:
        template: The template, as text or as Jinja's own object (which has rules of its own); also
            an input of `run`, which wins. All other inputs are names in it.
        strict: Whether a name that is not there is an error; else it is blank, as Jinja has it.
        settings: As for `Task`.

    Raises:
        UnknownKey: It names something that is not there; the message says what is.

    Example:
        >>> JinjaTemplate("{% for n in names %}<{{ n }}>{% endfor %}").run(names=["a", "b"])
        '<a><b>'
    """

    def __init__(
        self,
        template: str | jinja2.Template | None = None,
        *,
        strict: bool = True,
        **settings: Any,
    ) -> None:
        self.template, self.strict = template, strict
        super().__init__(**settings)

    def run(self, template: str | jinja2.Template | None = None, **format_kwargs: Any) -> str:
        given = value_of(self, "template", template)
        facts = Facts(format_kwargs)
        if not isinstance(given, str):
            whole: str = given.render(dict(facts))
            return whole
        from jinja2 import StrictUndefined, Undefined
        from jinja2.exceptions import UndefinedError
        from jinja2.meta import find_undeclared_variables
        from jinja2.sandbox import SandboxedEnvironment

        environment = SandboxedEnvironment(undefined=StrictUndefined if self.strict else Undefined)
        # Only what it names: some facts are costly to make.
        names = find_undeclared_variables(environment.parse(given))
        known = {name: facts[name] for name in names & set(facts)}
        try:
            return environment.from_string(given).render(known)
        except UndefinedError as exc:
            missing = sorted(names - set(known))
            if not missing:
                raise
            raise UnknownKey(missing[0], format_kwargs, facts) from exc
