"""Clips and runs that the tests of training share; none of them is changed."""

import pytest

from tests.small import CONFIG, clips_of, run
from tests.training.uneven import uneven_clips


@pytest.fixture(scope="session")
def clips():
    return clips_of(CONFIG)


@pytest.fixture(scope="session")
def whole_run(clips, tmp_path_factory):
    """The folder of a run that nothing interrupts."""
    out = tmp_path_factory.mktemp("runs") / "whole"
    run(CONFIG, clips, out)
    return out


@pytest.fixture(scope="session")
def uneven():
    return uneven_clips()
