"""What some tests need of the system. Without it they are skipped, or fail where CI is set."""

import os
import shutil
import sys
from pathlib import Path
from typing import Any, NoReturn

import pytest

from tootlearn.data.sound_font import find_font, renderer
from tootlearn.errors import InputError

_NAMES = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "chrome",
    "microsoft-edge",
    "microsoft-edge-stable",
    "msedge",
)


def _usual_places() -> list[Path]:
    """Where browsers are installed that are not on PATH."""
    if sys.platform == "darwin":
        names = ("Google Chrome", "Chromium", "Microsoft Edge")
        return [Path(f"/Applications/{name}.app/Contents/MacOS/{name}") for name in names]
    if sys.platform == "win32":
        roots = [os.environ.get(v) for v in ("PROGRAMFILES", "PROGRAMFILES(X86)", "LOCALAPPDATA")]
        programs = ("Google/Chrome/Application/chrome.exe", "Microsoft/Edge/Application/msedge.exe")
        return [Path(root) / program for root in roots if root for program in programs]
    return [Path("/snap/bin/chromium")]


def system_browser() -> str | None:
    """A Chromium, Chrome or Edge of this machine; None leaves it to Playwright's own."""
    for name in _NAMES:
        if path := shutil.which(name):
            return path
    return next((str(path) for path in _usual_places() if path.is_file()), None)


def unavailable(reason: str) -> NoReturn:
    """Skip the test, or fail it where the environment variable CI is set."""
    if os.environ.get("CI"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def start_browser(playwright: Any, flags: list[str]) -> Any:
    """A browser started by Playwright. One that is there and does not start is an error."""
    path = system_browser()
    if path is None and not Path(playwright.chromium.executable_path).is_file():
        unavailable(
            "no browser: install the system's package chromium, or run `playwright install "
            "chromium`"
        )
    return playwright.chromium.launch(executable_path=path, args=flags)


def need_renderer() -> None:
    """A renderer of sound fonts must be installed."""
    try:
        renderer()
    except InputError:
        unavailable("no FluidSynth: install the system's package libfluidsynth3")


def need_sound_font() -> Path:
    """The sound font of this machine, and a renderer must be installed."""
    need_renderer()
    try:
        return find_font()
    except InputError:
        unavailable("no sound font: install the system's package fluidr3mono-gm-soundfont")
