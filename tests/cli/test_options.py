"""Options that several commands share."""

import pytest

from tootlearn.cli.main import build_parser

GENERATOR = ("--model", "--device", "--vocoder")


@pytest.mark.parametrize(
    ("commands", "options"),
    [
        (
            ("generate", "vary", "morph", "batch"),
            (*GENERATOR, "--bandwidth", "--sample-rate"),
        ),
        (("play", "reconstruct", "evaluate", "generate"), GENERATOR),
        (("play", "book"), ("--port", "--no-browser")),
        (("train", "train-vocoder", "train-bandwidth", "tune"), ("--device",)),
    ],
)
def test_they_read_the_same_in_every_command(commands, options):
    parsers = build_parser(filled=commands)._subcommands_action.choices
    for option in options:
        actions = [parsers[name]._option_string_actions[option] for name in commands]
        assert len({(action.help, action.default) for action in actions}) == 1


def test_a_wrong_rate_or_folder_is_refused_before_anything_is_made(refused, tmp_path):
    (tmp_path / "file").write_text("mine")
    assert "--sample-rate 5 Hz" in refused("vary", "none.wav", "--sample-rate", 5)
    assert "file is a file" in refused("morph", "none.wav", "none.wav", "--out", "file")
