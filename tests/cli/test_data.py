"""`tootlearn data shard`: what is missing or unknown."""

import pytest


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ("data", "give one of shard"),
        ("data shart x", "tootlearn data has no 'shart': did you mean shard?"),
        ("data shard", "something is missing: give input"),
        ("data shard none", "none is no folder"),
        ("data shard x --size big", "--size: cannot use 'big': it takes a number"),
    ],
)
def test_what_is_wrong_is_named(refused, words, named):
    assert named in refused(*words.split())
