"""Options: how they are spelt, and that each says what it is."""

import pytest

from tootlearn.cli.main import COMMANDS, build_parser
from tootlearn.cli.parser import Parser


@pytest.fixture(scope="module")
def parsers() -> dict[str, Parser]:
    """The parsers of all commands, `data shard` among them."""
    commands = dict(build_parser()._subcommands_action.choices)
    return commands | {"data shard": commands["data"]._subcommands_action.choices["shard"]}


def test_every_option_has_a_help_text_and_hyphens(parsers):
    assert set(parsers) == {*COMMANDS, "data shard"}
    for command, parser in parsers.items():
        parser.format_help()
        for action in parser._actions:
            if action.dest != "action":  # the subcommands of data
                assert action.help and action.help.strip(), f"{command} {action.dest}"
            assert not any("_" in name for name in action.option_strings), command


def test_help_shows_what_is_drawn_and_neither_types_nor_nulls(run):
    text = run("generate", "--help").out
    assert "null" not in text and "type:" not in text
    assert "--duration X          seconds (default: drawn)" in text
    assert "--seed N" in text and "(default: 0)" in text and "(default: toots)" in text
    text = run("train", "--help").out
    assert "type:" not in text and "--learning-rate X" in text and "--front-end.hop N" in text
    assert "--stream, --no-stream" in text and "--autoencoder AUTOENCODER, --no-autoencoder" in text


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_shows_its_help(run, command):
    done = run(command, "--help")
    assert done.status == 0 and done.err == ""
    assert done.out.startswith(f"usage: tootlearn {command} [options]")


def parsed(*words: str):
    return build_parser(words, words[:1]).parse_args(words)[words[0]]


@pytest.mark.parametrize(
    "words",
    [
        ("--learning-rate", "0.5", "--front-end.n-fft", "512"),
        ("--learning_rate=0.5", "--front_end.n_fft=512"),
    ],
)
def test_hyphens_and_underscores_are_the_same(words):
    args = parsed("train", *words)
    assert args.learning_rate == 0.5 and args.front_end.n_fft == 512


def test_options_of_parts_that_may_be_absent_have_hyphens_too():
    args = parsed("train", "--generator.encoder-widths", "[8]", "--weights.generation-stft", "0.2")
    assert args.generator.encoder_widths == (8,) and args.weights["generation_stft"] == 0.2
    assert parsed("train", "--no-autoencoder").autoencoder is None


@pytest.mark.parametrize(
    ("words", "value"),
    [
        ((), False),
        (("--stream",), True),
        (("--stream", "--clips", "24"), True),
        (("--no-stream",), False),
        (("--stream", "true"), True),
        (("--stream=false",), False),
    ],
)
def test_a_switch_is_turned_on_and_off(words, value):
    assert parsed("train", *words).stream is value


def test_a_switch_of_a_part_is_turned_on_and_off():
    args = parsed("train", "--autoencoder.variational", "--no-autoencoder.linear")
    assert args.autoencoder.variational is True and args.autoencoder.linear is False


def test_a_value_that_begins_with_a_minus_is_no_flag():
    assert parsed("generate", "--envelope", "-20,0", "--count", "1").envelope == "-20,0"


def test_options_are_not_abbreviated(run):
    done = run("generate", "--cou", 3)
    assert done.status == 2 and "unknown flag --cou: did you mean --count?" in done.err
