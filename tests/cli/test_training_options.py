"""Options of training: presets, config files, kinds."""

from dataclasses import replace

import pytest

from tootlearn.cli.main import build_parser
from tootlearn.cli.training_options import config_of, from_options
from tootlearn.training import config as presets


def config(*words: str) -> presets.TrainConfig:
    words = ("train", *words)
    return config_of(build_parser(words, ["train"]).parse_args(words)["train"])


def test_kinds_are_found_however_they_are_written():
    assert config("--kinds", "[car horn,Train-Horn,trumpet]").kinds == (
        "car_horn",
        "train_horn",
        "trumpet",
    )


@pytest.mark.parametrize(
    ("words", "preset"),
    [
        ((), "default"),
        (("--data", "recordings"), "own"),
        (("--data", "recordings", "--from", "default"), "fine_tune"),
        (("--preset", "baseline"), "baseline"),
    ],
)
def test_the_preset_is_the_usual_one_for_what_is_given(words, preset):
    assert config(*words) == presets.preset(preset)


def test_a_config_file_has_the_names_of_fields_and_options_after_it_take_precedence(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(
        "learning_rate: 0.5\nbatch: 7\nseed: 3\nautoencoder: null\nfront_end:\n  n_fft: 512\n"
    )
    read = config("--config", str(path), "--batch", "8")
    assert (read.learning_rate, read.batch, read.seed) == (0.5, 8, 3)
    assert read.autoencoder is None and read.front_end.n_fft == 512


def test_options_become_a_dataclass_with_its_parts():
    words = ("train-bandwidth", "--data", "a", "b", "--bandwidth.front-end.n-fft", "256")
    args = build_parser(words, words[:1]).parse_args(words)["train-bandwidth"]
    config = from_options(presets.BandwidthTrainConfig, args)
    standard = presets.BandwidthTrainConfig(data=("a", "b"))
    front_end = replace(standard.bandwidth.front_end, n_fft=256)
    assert config == replace(standard, bandwidth=replace(standard.bandwidth, front_end=front_end))
