"""What the README says that a person does first: install, run, see it live, kill it, resume it, play it."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.animation.conftest import wait_for_player
from tests.browser import take_picture
from tests.cli.program import Program, Terminal, terminal_of

ROOT = Path(__file__).resolve().parents[2]
PROMPT = "ready> "


def commands() -> list[str]:
    """What the README has one type, in order."""
    text = (ROOT / "README.md").read_text("utf-8")
    section = text.split("\n## In five minutes\n")[1].split("\n## ")[0]
    lines = [line.strip() for line in section.splitlines() if line.startswith("    ")]
    return [re.sub(r"\s+#.*", "", line) for line in lines]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what is in the repository, as a clone is."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode:
        pytest.skip("this is no checkout, so nobody can follow the README in it")
    folder = tmp_path / "prefect_dask"
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    return folder


@pytest.fixture
def shell(checkout: Path) -> Iterator[Terminal]:
    """A shell in it, with a home of its own."""
    environment = Program(checkout).variables(
        {
            "PREFECT_HOME": str(checkout.parent / "home"),
            "PYTHON": sys.executable,
            "PS1": PROMPT,
            "BROWSER": "true",  # opens nothing
        }
    )
    bash = shutil.which("bash") or pytest.skip("no bash")
    command = [bash, "--norc", "--noprofile"]
    with terminal_of(command, checkout, environment, 110, 32) as terminal:
        yield terminal
        terminal.type("exit\n")
        terminal.exit_code()


def done(terminal: Terminal) -> bool:
    """Whether the shell waits for the next command."""
    return next((line for line in reversed(terminal.lines) if line), "").strip() == PROMPT.strip()


@pytest.mark.timeout(600)
def test_a_person_follows_the_readme_from_top_to_bottom(shell, page, checkout):
    run, look, again, install, animate = commands()
    assert run == again == "make run"

    def wait(is_so, what=""):
        shell.wait_for(lambda t: is_so("\n".join(t.lines)), what, 150)

    def counted(text):
        found = re.search(r"count_file .* ([\d,]+)/\d,\d{3}", text)
        return int(found[1].replace(",", "")) if found else 0

    shell.type(f"{run}\n")
    wait(lambda text: counted(text) > 500)
    shell.type("\x1c")  # Ctrl and a backslash
    shell.wait_for(done, "killed")

    shell.type(f"clear; {look}\n")
    shell.wait_for(lambda t: "Crashed" in "\n".join(t.lines) and done(t))
    [run_id] = re.findall(r"^([0-9a-f]+) .*Crashed", "\n".join(shell.lines), re.M)

    shell.type(f"clear; {again}\n")
    wait(lambda text: "Go on with it? [Y/n]" in text)
    shell.type("\n")
    wait(lambda text: counted(text) > 2_000)
    page.set_content(shell.as_html())
    take_picture(page.locator("pre"), "terminal")
    wait(lambda text: "Report: " in text)
    shell.wait_for(done)
    assert (checkout / "census.html").exists()

    shell.type(f"clear; {install}\n")
    shell.wait_for(done, "installed", 150)
    shell.type(f"clear; {re.sub(r'[0-9a-f]{4}$', run_id, animate)}\n")
    wait(lambda text: "http://" in text)
    [address] = re.findall(r"http://\S+", "\n".join(shell.lines))
    page.goto(address)
    wait_for_player(page)
    assert page.get_by_role("heading", name="census").is_visible()
    # Half of the files were counted before it was killed.
    assert page.evaluate("player.timeline.time.length") > 3_000
    page.goto("about:blank")  # it would miss its server
    shell.interrupt()
    shell.wait_for(done, "the server ended")
