"""What the tests of teaching share."""

import pytest


@pytest.fixture
def shown(monkeypatch):
    """What is displayed, as {mime: content}."""
    out: list[dict] = []
    monkeypatch.setattr("IPython.display.display", lambda data, raw: out.append(data))
    return out
