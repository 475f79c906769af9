"""Arguments of a run method that the task's attributes stand in for."""

import cloudpickle
import pytest

from prefect_dask import Flow, Task
from prefect_dask.errors import WrongSignature
from prefect_dask.executors import LocalDaskExecutor
from prefect_dask.task_defaults import defaults_from_attrs


class Power(Task):
    def __init__(self, base=None, exponent=2, **settings):
        self.base, self.exponent = base, exponent
        super().__init__(**settings)

    @defaults_from_attrs("base", "exponent")
    def run(self, base=None, exponent=None):
        """Raise a number to a power."""
        return base**exponent


@pytest.mark.parametrize(
    ("call", "result"),
    [((), 9), ((5,), 25), ((5, 3), 125), ((None, 3), 27)],
)
def test_what_the_call_says_goes_before_what_the_task_was_told(call, result):
    with Flow("f") as flow:
        power = Power(3)(*call)
    assert flow.run().result[power].result == result


def test_a_task_above_may_give_none_and_false_values_are_values():
    class Give(Task):
        def run(self, value):
            return value

    with Flow("f") as flow:
        nothing = Power(3)(Give()(None))
        zero = Power(3)(Give()(0))
    state = flow.run(executor=LocalDaskExecutor("threads"))
    assert (state.result[nothing].result, state.result[zero].result) == (9, 0)


def test_signature_docstring_and_pickles_are_those_of_the_method():
    assert list(Power().inputs()) == ["base", "exponent"]
    assert Power.run.__doc__ == "Raise a number to a power."
    assert cloudpickle.loads(cloudpickle.dumps(Power(3))).run() == 9


@pytest.mark.parametrize(("name", "why"), [("other", "not there"), ("x", "no default")])
def test_an_argument_that_cannot_be_left_out_is_told_when_the_class_is_made(name, why):
    with pytest.raises(WrongSignature, match=why):

        @defaults_from_attrs(name)
        def run(self, x):
            pass
