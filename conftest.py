"""What `pytest --nbval-lax notebooks` compares: text. A player is bytes; its fingerprint is text.
"""


def pytest_collectstart(collector):
    if hasattr(collector, "skip_compare"):  # a notebook
        collector.skip_compare += ("text/html", "image/svg+xml")
