"""State handlers of tasks and of the flow, on_failure, signals, and the last word on a run."""

import prefect
from prefect import Flow, Task, task
from prefect.engine import signals
from prefect.engine.state import Failed, Finished, Success

SEEN = []


def note(obj, old_state, new_state):
    if new_state.is_finished() or isinstance(obj, Flow):
        SEEN.append(f"{obj.name}: {type(new_state).__name__}")
    return new_state


def forgive(task, old_state, new_state):
    if isinstance(new_state, Failed) and isinstance(new_state.result, KeyError):
        return Success("nothing to do", result={})
    return None


def page_somebody(task, state):
    SEEN.append(f"{task.name} failed: {state.message}")


def ends_well(flow, state, reference_states):
    failed = [each for each in reference_states if each.is_failed()]
    return Success(f"{len(failed)} of {len(reference_states)} failed") if len(failed) < 2 else state


class LookUp(Task):
    def run(self, key):
        return {"a": 1}[key]


look_up = LookUp(name="look up", state_handlers=[note, forgive])


@task(state_handlers=[note], on_failure=page_somebody)
def check(found):
    if not found:
        raise signals.FAIL("nothing was found")


@task(state_handlers=[note])
def optional():
    raise signals.SKIP("not today")


@task(state_handlers=[note], skip_on_upstream_skip=False)
def last(given):
    prefect.context.logger.info("given %r", given)
    raise signals.SUCCESS("early", result="done")


with Flow("handlers", state_handlers=[note], terminal_state_handler=ends_well) as flow:
    found = look_up("b")
    checked = check(found)
    done = last(optional(upstream_tasks=[found]), upstream_tasks=[])

if __name__ == "__main__":
    state = flow.run()
    for line in sorted(SEEN):
        print(line)
    print(type(state).__name__, state.message, isinstance(state, Finished))
    print(state.result[found].result, state.result[done].result)
