"""Templates are filled with inputs and facts of the run, and say what they miss."""

import pytest

from prefect_dask import Flow, context, task
from prefect_dask.tasks.templates import JinjaTemplate, StringFormatter
from prefect_dask.tasks.templates.facts import UnknownKey

KINDS = [
    pytest.param(StringFormatter, "{", "}", id="string"),
    pytest.param(JinjaTemplate, "{{ ", " }}", id="jinja"),
]


@pytest.mark.parametrize(("kind", "a", "z"), KINDS)
def test_inputs_and_facts_of_the_run_are_filled_in(kind, a, z):
    @task
    def who():
        return "Ada"

    with Flow("greeting") as flow:
        said = kind(f"{a}name{z} in {a}flow_name{z}, {a}task_name{z}", name="greet")(name=who())
    assert flow.run().result[said].result == "Ada in greeting, greet"


@pytest.mark.parametrize(("kind", "a", "z"), KINDS)
def test_an_input_wins_over_a_fact_of_the_run(kind, a, z):
    with context(today="today"):
        assert kind(f"{a}today{z}").run() == "today"
        assert kind().run(template=f"{a}today{z}", today="never") == "never"


@pytest.mark.parametrize(("kind", "a", "z"), KINDS)
def test_a_name_that_is_not_there_fails_the_task_and_tells_those_that_are(kind, a, z):
    with Flow("greeting") as flow:
        said = kind(f"Dear {a}nmae{z}")(name="Ada")
    state = flow.run().result[said]
    assert state.is_failed() and isinstance(state.result, UnknownKey)
    assert state.message.startswith(
        "the template names 'nmae', which is not there; did you mean 'name'?"
    )
    assert "(inputs: 'name'; of the run: " in state.message and "'flow_name'" in state.message


@pytest.mark.parametrize(("kind", "a", "z"), KINDS)
def test_secrets_are_no_facts_of_the_run(kind, a, z):
    with context(secrets={"KEY": "planted"}), pytest.raises(UnknownKey) as error:
        kind(f"{a}secrets{z}").run()
    assert "planted" not in str(error.value)


@pytest.mark.parametrize("template", ["{x.__class__}", "{x[0].__init__.__globals__}", "{}", "{0}"])
def test_a_template_from_elsewhere_cannot_reach_into_the_process(template):
    with pytest.raises(ValueError, match=r"is private|without a name"):
        StringFormatter(template).run(x=["a"])


def test_fields_and_formats_are_as_in_python():
    template = StringFormatter("{x[0]:>3}|{y.real:.2f}|{x[1]!r}|{{}}")
    assert template.run(x=["a", "b"], y=1) == "  a|1.00|'b'|{}"


def test_jinja_leaves_blanks_where_that_is_asked_for():
    template = JinjaTemplate("{% if nobody %}x{% endif %}<{{ nobody }}>", strict=False)
    assert template.run() == "<>"


def test_a_jinja_template_from_elsewhere_cannot_reach_into_the_process():
    from jinja2.exceptions import SecurityError

    with pytest.raises(SecurityError):
        JinjaTemplate("{{ ''.__class__.__mro__[1].__subclasses__() }}").run()


def test_a_template_object_of_jinja_is_taken_as_it_is():
    from jinja2 import Template

    assert JinjaTemplate(Template("<{{ x }}{{ y }}>")).run(x=1) == "<1>"
