"""The book, built once for all tests, and a browser that reaches nothing but this machine."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests import needs
from tests.book import budget
from tootlearn.teaching import notebooks

ROOT = Path(__file__).resolve().parents[2]


def pytest_terminal_summary(terminalreporter) -> None:
    """The seconds of the notebooks, which tests record as the property "took": [notebook,
    seconds].
    """
    properties = [
        properties
        for reports in terminalreporter.stats.values()
        for report in reports
        if getattr(report, "when", "") == "call"
        for properties in report.user_properties
    ]
    seconds = dict(value for key, value in properties if key == "took")
    if seconds:
        terminalreporter.section("notebooks")
        for line in budget.table(seconds, os.cpu_count()):
            terminalreporter.write_line(line)


class Built(NamedTuple):
    """A build: its folder of pages, that of the notebooks as they ran, and what it printed."""

    html: Path
    executed: Path
    log: str


@pytest.fixture(scope="session")
def built(tmp_path_factory) -> Built:
    """`jupyter-book build . -n -W --keep-going` into a folder of its own. BOOK_SITE names one to
    look at instead.
    """
    if "BOOK_SITE" in os.environ:
        html = Path(os.environ["BOOK_SITE"]).resolve()
        return Built(html, html.with_name("jupyter_execute"), "")
    out = tmp_path_factory.mktemp("book") / "_build"
    # its own script may not be on the path
    program = "from jupyter_book.cli.main import main; main()"
    command = [sys.executable, "-c", program, "build", ROOT, "--path-output", out.parent]
    # with figures, whatever draws them; and without coverage, which is not measured in what it runs
    environment = {k: v for k, v in os.environ.items() if not k.startswith("COVERAGE_")}
    environment |= {"PYTHONPATH": str(ROOT), "MPLBACKEND": "Agg"}
    done = subprocess.run(
        [*command, "-n", "-W", "--keep-going", "--all"],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    log = done.stdout + done.stderr
    if done.returncode or not (out / "html/index.html").is_file():
        raised = [path.read_text("utf8") for path in sorted(out.rglob("*.err.log"))]
        pytest.fail("\n".join([log[-8000:], *raised]), pytrace=False)
    return Built(out / "html", out / "jupyter_execute", log)


@pytest.fixture(scope="session")
def address(built) -> Iterator[str]:
    """Where the pages are served."""
    with notebooks.server(built.html) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture(scope="session")
def browser() -> Iterator:
    """One browser for all tests."""
    from playwright.sync_api import sync_playwright

    flags = [
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
    ]
    flags += [
        "--disable-component-update",
        "--disable-sync",
        "--autoplay-policy=no-user-gesture-required",
    ]
    with sync_playwright() as playwright:
        started = needs.start_browser(playwright, flags)
        yield started
        started.close()
