"""`tootlearn batch`: without a table."""

from tootlearn.generation import batch


def test_a_table_is_needed_and_an_example_is_printed(run, refused):
    assert "tootlearn batch --example" in refused("batch")
    assert run("batch", "--example").out == batch.EXAMPLE
