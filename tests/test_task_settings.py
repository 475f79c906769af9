"""What a task is told when it is made, and what of that it refuses."""

from datetime import timedelta

import pytest

from prefect_dask import Flow, Task, tags, task
from prefect_dask.engine.errors import FlowError
from prefect_dask.settings import set_temporary_config
from prefect_dask.triggers import all_successful, any_failed


class Load(Task):
    def run(self, path: str = ".") -> str:
        return path


@task
def clean(rows: list[int]) -> list[int]:
    """Drop what is no number."""
    return rows


# ---- names and tags


def test_a_task_is_called_as_its_class_or_its_function():
    assert Load().name == "Load"
    assert clean.name == "clean"
    assert Load(name="read").name == "read"
    assert task(clean.run, name="wash").name == "wash"


def test_a_task_shows_its_name():
    assert repr(Load(name="read")) == "<Task: read>"
    assert repr(clean) == "<Task: clean>"


def test_tags_are_a_set_of_words_and_not_one_word():
    assert Load(tags=["io", "io", "big"]).tags == {"io", "big"}
    with pytest.raises(TypeError, match=r"<Task: Load>: tags must be a set .* 'io'"):
        Load(tags="io")


def test_tags_unite_with_those_of_all_enclosing_blocks():
    with tags("outer", "both"), tags("inner"):
        made = Load(tags={"own"})
    assert made.tags == {"outer", "both", "inner", "own"}
    assert Load().tags == set()


def test_a_task_called_in_a_tags_block_gets_the_tags_and_its_original_does_not():
    with Flow("f"), tags("night"):
        copy = clean([1])
    assert copy.tags == {"night"}
    assert clean.tags == set()


def test_tags_blocks_refuse_what_is_no_word():
    with pytest.raises(TypeError, match="each a string; got 3"), tags("a", 3):  # type: ignore[arg-type]
        pass


def test_a_task_has_a_logger_of_its_name():
    assert Load(name="read").logger.name == "prefect_dask.read"


# ---- retries


def test_retries_need_a_delay_and_a_delay_needs_retries():
    with pytest.raises(ValueError, match="<Task: Load>: max_retries needs a retry_delay"):
        Load(max_retries=2)
    with pytest.raises(ValueError, match="<Task: Load>: retry_delay needs max_retries above 0"):
        Load(retry_delay=timedelta(seconds=1))
    with pytest.raises(ValueError, match="retry_delay needs max_retries above 0"):
        Load(max_retries=0, retry_delay=1)


def test_retry_on_needs_retries_and_takes_one_type_or_several():
    with pytest.raises(ValueError, match="retry_on needs max_retries"):
        Load(retry_on=OSError)
    assert Load(max_retries=1, retry_delay=0, retry_on=OSError).retry_on == (OSError,)
    several = Load(max_retries=1, retry_delay=0, retry_on=[OSError, KeyError])
    assert several.retry_on == (OSError, KeyError)
    with pytest.raises(TypeError, match="retry_on must name exception types, got 'OSError'"):
        Load(max_retries=1, retry_delay=0, retry_on=["OSError"])  # type: ignore[list-item]


def test_a_retry_delay_is_a_time_seconds_a_list_of_them_or_a_function():
    def doubling(attempt: int) -> timedelta:
        return timedelta(seconds=2**attempt)

    def delay(given: object) -> object:
        return Load(max_retries=3, retry_delay=given).retry_delay  # type: ignore[arg-type]

    assert delay(timedelta(minutes=1)) == timedelta(minutes=1)
    assert delay(0.5) == timedelta(milliseconds=500)
    assert delay([1, timedelta(seconds=5)]) == [timedelta(seconds=1), timedelta(seconds=5)]
    assert delay(doubling) is doubling


@pytest.mark.parametrize("wrong", ["soon", True, [], [1, "soon"], object()])
def test_a_retry_delay_of_another_type_is_refused(wrong: object):
    with pytest.raises(TypeError, match="retry_delay must be a timedelta, seconds, a list"):
        Load(max_retries=1, retry_delay=wrong)  # type: ignore[arg-type]


def test_numbers_out_of_range_are_refused():
    with pytest.raises(ValueError, match="retry_delay must not be below 0"):
        Load(max_retries=1, retry_delay=-1)
    with pytest.raises(ValueError, match="max_retries is a number, 0 or more, got -1"):
        Load(max_retries=-1, retry_delay=1)
    with pytest.raises(ValueError, match="retry_jitter is a share from 0 to 1, got 2"):
        Load(max_retries=1, retry_delay=1, retry_jitter=2)


def test_retries_and_timeouts_can_come_from_the_configuration():
    with set_temporary_config(
        {
            "tasks.defaults.max_retries": 3,
            "tasks.defaults.retry_delay": 10,
            "tasks.defaults.timeout": 60,
        }
    ):
        made, own = Load(), Load(max_retries=1, retry_delay=2, timeout=5)
        none = Load(max_retries=0)
    assert (made.max_retries, made.retry_delay) == (3, timedelta(seconds=10))
    assert made.timeout_seconds == 60
    assert (own.max_retries, own.retry_delay) == (1, timedelta(seconds=2))
    assert own.timeout_seconds == 5
    assert (none.max_retries, none.retry_delay) == (0, None)


# ---- timeouts


@pytest.mark.parametrize(
    ("given", "seconds"),
    [(3, 3.0), (timedelta(minutes=1), 60.0), (timedelta(milliseconds=250), 0.25), (0.5, 0.5)],
)
def test_a_timeout_is_seconds_or_a_timedelta_and_fractions_count(given: float, seconds: float):
    made = Load(timeout=given)
    assert made.timeout_seconds == seconds
    assert made.timeout == given


@pytest.mark.parametrize("wrong", ["3", True, [3], object()])
def test_a_timeout_of_another_type_is_refused(wrong: object):
    with pytest.raises(TypeError, match="<Task: Load>: timeout must be a timedelta or a number"):
        Load(timeout=wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", [0, -1, timedelta(0)])
def test_a_timeout_that_leaves_no_time_is_refused(wrong: float):
    with pytest.raises(ValueError, match="timeout must be above 0"):
        Load(timeout=wrong)


def test_a_timeout_can_be_set_later_and_is_checked_then():
    made = Load()
    made.timeout = timedelta(seconds=2)
    assert made.timeout_seconds == 2
    with pytest.raises(TypeError):
        made.timeout = "2"  # type: ignore[assignment]
    assert made.timeout_seconds == 2


def test_isolation_knows_one_word():
    assert Load(isolation="process").isolation == "process"
    with pytest.raises(ValueError, match='isolation can be "process" or None'):
        Load(isolation="thread")  # type: ignore[arg-type]


# ---- the rest


def test_the_default_trigger_is_all_successful():
    assert Load().trigger is all_successful
    assert Load(trigger=any_failed).trigger is any_failed
    with pytest.raises(TypeError, match="trigger must be a function of the upstream states"):
        Load(trigger="all_failed")  # type: ignore[arg-type]


def test_state_handlers_are_a_list_of_functions():
    def handler(*_: object) -> None: ...

    assert Load(state_handlers=[handler]).state_handlers == [handler]
    for wrong in ("handler", handler):
        with pytest.raises(TypeError, match="state_handlers must be a list"):
            Load(state_handlers=wrong)  # type: ignore[arg-type]


def test_settings_for_results_and_names_are_kept_as_given():
    made = Load(
        cache_for=timedelta(days=1),
        cache_key="k",
        checkpoint=False,
        result="r",
        target="t.json",
        task_run_name="{path}",
        log_stdout=True,
        skip_on_upstream_skip=False,
    )
    assert (made.cache_for, made.cache_key, made.checkpoint) == (timedelta(days=1), "k", False)
    assert (made.result, made.target, made.task_run_name) == ("r", "t.json", "{path}")
    assert made.log_stdout and not made.skip_on_upstream_skip


def test_every_refusal_is_an_error_of_writing_flows():
    with pytest.raises(FlowError):
        Load(max_retries=1)


# ---- copies


def test_a_copy_differs_in_what_it_is_told_and_leaves_the_original_alone():
    original = Load(tags={"io"}, state_handlers=[lambda *_: None])
    copy = original.copy(name="other", tags={"night"}, timeout=3, max_retries=2, retry_delay=1)
    assert (copy.name, copy.tags, copy.timeout_seconds) == ("other", {"night"}, 3)
    assert copy.retry_delay == timedelta(seconds=1)
    copy.state_handlers.clear()
    assert (original.name, original.tags, original.timeout_seconds) == ("Load", {"io"}, None)
    assert len(original.state_handlers) == 1


def test_a_copy_knows_only_settings_that_there_are():
    with pytest.raises(AttributeError, match="<Task: Load> has no setting 'colour'"):
        Load().copy(colour="red")


def test_a_copy_is_checked_like_a_new_task():
    with pytest.raises(ValueError, match="max_retries needs a retry_delay"):
        Load().copy(max_retries=1)
    with pytest.raises(TypeError, match="tags must be a set"):
        Load().copy(tags="io")
    with pytest.raises(TypeError, match="timeout must be"):
        Load().copy(timeout="long")
    copied = Load(max_retries=1, retry_delay=1).copy(retry_on=KeyError, retry_delay=[1, 2])
    assert copied.retry_on == (KeyError,)
    assert copied.retry_delay == [timedelta(seconds=1), timedelta(seconds=2)]


def test_a_copy_keeps_what_a_subclass_has_added():
    class Connect(Task):
        def __init__(self, host: str, **settings: object) -> None:
            self.host = host
            super().__init__(**settings)  # type: ignore[arg-type]

        def run(self) -> str:
            return self.host

    assert Connect("here").copy(host="there").run() == "there"
    assert Connect("here", name="c").copy().host == "here"


def test_tasks_are_equal_only_to_themselves():
    one = Load()
    assert one != Load()
    assert one != one.copy()
    assert len({one, one, Load()}) == 2
