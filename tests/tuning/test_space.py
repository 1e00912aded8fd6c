"""Ranges from a YAML file: what they become, what is refused, and configs with other values."""

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from tootlearn.errors import InputError
from tootlearn.models.config import AutoencoderConfig
from tootlearn.training import config as presets
from tootlearn.tuning import space as search_space

CONFIG = presets.preset("baseline")


def read(tmp_path, text, config=CONFIG):
    path = tmp_path / "space.yaml"
    path.write_text(text, encoding="utf8")
    return search_space.read_space(path, config)


def test_ranges_are_optunas(tmp_path):
    text = """
    learning_rate: {low: 1e-4, high: 1.0e-2, log: true}
    batch: {type: int, low: 16, high: 64, step: 16}
    autoencoder.norm: {choices: [batch, group]}
    autoencoder.encoder_widths: {choices: [[32, 64], [8]]}
    """
    space = read(tmp_path, text)
    assert space == {
        "learning_rate": FloatDistribution(1e-4, 1e-2, log=True),
        "batch": IntDistribution(16, 64, step=16),
        "autoencoder.norm": CategoricalDistribution(["batch", "group"]),
        "autoencoder.encoder_widths": CategoricalDistribution(["[32, 64]", "[8]"]),
    }
    values = {
        "learning_rate": 0.005,
        "batch": 32,
        "autoencoder.norm": "group",
        "autoencoder.encoder_widths": "[8]",
    }
    config = search_space.changed(CONFIG, values)
    assert config.learning_rate == 0.005 and config.batch == 32
    assert config.autoencoder == AutoencoderConfig(norm="group", encoder_widths=(8,))
    assert {name: search_space.value_of(config, name) for name in values} == values
    assert all(search_space.holds(space[name], value) for name, value in values.items())


@pytest.mark.parametrize(
    ("value", "inside"), [(16, True), (64, True), (40, False), (80, False), (0, False)]
)
def test_a_value_is_in_a_range_if_it_is_on_its_grid(value, inside):
    assert search_space.holds(IntDistribution(16, 64, step=16), value) is inside


def test_what_ships_fits_every_preset_and_leaves_out_parts_that_are_not_there():
    for name, config in presets.PRESETS.items():
        space = search_space.read_space(None, config)
        assert "learning_rate" in space
        searched = config.generator is not None and not config.start_from
        assert any(field.startswith("generator.") for field in space) == searched, name


def test_what_a_model_that_is_started_from_has_cannot_be_searched(tmp_path):
    """Its sizes are its own: all trials would be the same, and importances of nothing."""
    (tmp_path / "space.yaml").write_text("generator.blocks: {low: 2, high: 6}", encoding="utf8")
    with pytest.raises(InputError, match="as the model that training starts from has it"):
        search_space.read_space(tmp_path / "space.yaml", presets.PRESETS["fine_tune"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("learning_rate: {low: 1", "is no YAML"),
        ("", "names no field"),
        ("[1, 2]", "names no field"),
        (
            "learning_rat: {low: 1, high: 2}",
            "no field 'learning_rat' to search: the config has generator, ",
        ),
        (
            "autoencoder.latnt: {low: 1, high: 2}",
            "no field 'autoencoder.latnt' to search: autoencoder has latent, ",
        ),
        ("generator.width: {low: 8, high: 16}", "generator.width cannot be searched: .* has none"),
        ("steps: {low: 8, high: 16}", "steps is the same for all trials"),
        ("front_end.mels: {low: 8, high: 16}", "changes what is held out"),
        ("learning_rate: 3", "has 3 for a range: write learning_rate: {low: 1, high: 8}"),
        ("learning_rate: {min: 3}", "a range has no 'min'"),
        ("learning_rate: {low: 3}", "high is a number, not None"),
        ("learning_rate: {low: a, high: 2}", "low is a number, not 'a'"),
        ("learning_rate: {low: 0.1, high: .inf}", "high is a number, not inf"),
        ("learning_rate: {low: 0.2, high: 0.1}", "from 0.2 to 0.1 is an empty range"),
        ("learning_rate: {low: 0.1, high: 0.1}", "from 0.1 to 0.1 is an empty range"),
        ("learning_rate: {low: 0.1, high: 0.2, type: int}", "its type is float, not 'int'"),
        (
            "learning_rate: {low: 0.0, high: 0.2}",
            "learning_rate cannot be 0.0: learning_rate is a positive number",
        ),
        ("weight_decay: {low: 0.0, high: 0.2, log: true}", "weight_decay: .*log"),
        ("weight_decay: {low: 0.0, high: 0.2, log: maybe}", "log is true or false, not 'maybe'"),
        ("batch: {low: 1.5, high: 3}", "low is a whole number, not 1.5"),
        ("batch: {choices: [8]}", "choices are a list of two values or more"),
        ("batch: {choices: [8, 16], low: 1}", "choices are a list of two values or more"),
        (
            "autoencoder.norm: {low: 1, high: 2}",
            "autoencoder.norm is no number but 'batch': give choices",
        ),
        (
            "autoencoder.norm: {choices: [batch, layer]}",
            "autoencoder.norm cannot be 'layer': norm is one of",
        ),
        ("autoencoder.latent.x: {low: 1, high: 2}", "autoencoder.latent has no parts"),
    ],
)
def test_what_is_no_range_is_refused_with_what_is(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        read(tmp_path, text)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match="none.yaml could not be read"):
        search_space.read_space(tmp_path / "none.yaml", CONFIG)
