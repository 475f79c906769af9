"""A secret reaches no file of the ledger."""

from pathlib import Path

from prefect_dask import Flow, Parameter, context, task
from prefect_dask.ledger import Ledger
from prefect_dask.tasks.secrets import PrefectSecret

WORD = "xyzzy-open-sesame"


@task(log_stdout=True, max_retries=1, retry_delay=0.01)
def tell(password, hint):
    print("it is", password)
    context.logger.warning("it is %s", password)
    raise ValueError(f"not {password}, {hint}")


def test_a_planted_secret_is_in_no_byte_of_it(tmp_path: Path):
    with Flow("leaky") as flow:
        tell(PrefectSecret("WORD"), Parameter("hint"))
    place = tmp_path / "its.sqlite"
    state = flow.run(context={"secrets": {"WORD": WORD}}, hint=f"it begins as {WORD}", ledger=place)
    assert state.is_failed()

    ledger = Ledger(place)
    [run] = ledger.flow_runs()
    assert run.parameters == {"hint": "it begins as ***"}
    assert "it is ***" in [line.message for line in ledger.logs(run.run_id)]
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert place in files
    assert not [file for file in files if WORD.encode() in file.read_bytes()]
