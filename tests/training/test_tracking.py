"""What trackers were told is read back from their files by their own readers."""

import io
import signal
import sys
from dataclasses import replace

import numpy as np
import pytest
import soundfile
from matplotlib import image

from tests.small import CONFIG as SMALL
from tests.small import clips_of
from tootlearn.cli import main
from tootlearn.errors import InputError
from tootlearn.training import loop
from tootlearn.training.tracking import as_yaml, open_trackers, toot_examples
from tootlearn.training.train import build, train

CONFIG = replace(
    SMALL,
    generator=None,
    front_end=replace(SMALL.front_end, mels=32),
    steps=4,
    warmup=1,
    check_every=2,
)


@pytest.fixture(scope="module")
def clips():
    return clips_of(CONFIG)


def run(clips, out, *names, config=CONFIG, **options):
    """Train, and return the rows of the log."""
    rows, held_out = [], clips.split()[1]
    with open_trackers(names, out, config, lambda model: toot_examples(model, held_out)) as check:

        def both(row, *rest):
            rows.append(row)
            if check:
                check(row, *rest)

        train(config, clips, out, progress=False, on_check=both, **options)
    return rows


def test_tensorboard_holds_scalars_pictures_sounds_config_and_hparams(clips, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    rows = run(clips, tmp_path / "run", "tensorboard")
    events = EventAccumulator(
        str(tmp_path / "run/tensorboard"), {"images": 0, "audio": 0, "tensors": 0, "scalars": 0}
    )
    events.Reload()
    held = [(event.step, event.value) for event in events.Scalars("held_out/reconstruction")]
    assert held == [(row["step"], pytest.approx(row["held_out"]["reconstruction"])) for row in rows]
    assert [event.step for event in events.Scalars("train/reconstruction")] == [2, 4]
    drawn = events.Images("reconstruction/0")
    picture = image.imread(io.BytesIO(drawn[-1].encoded_image_string))
    assert [event.step for event in drawn] == [2, 4] and picture.shape[:2] == (2 * 32 + 2, 88)
    (_, last) = events.Audio("reconstruction/0")
    wave, rate = soundfile.read(io.BytesIO(last.encoded_audio_string))
    assert rate == 22050 and len(wave) == 87 * 512 and 0 < np.abs(wave).max() <= 1
    text = events.Tensors("config/text_summary")[0].tensor_proto.string_val[0].decode()
    assert "latent: 4" in text and "learning_rate: 0.001" in text
    assert "_hparams_/experiment" in events.summary_metadata
    assert events.Scalars("end/held_out/reconstruction")[0].value == held[-1][1]


@pytest.mark.slow
def test_mlflow_holds_the_run_in_sqlite_and_goes_on_with_it(clips, tmp_path, monkeypatch):
    from mlflow.tracking import MlflowClient

    clip, calls = loop._clip, []

    def stop(*arguments):
        calls.append(1)
        if len(calls) == 3:
            signal.raise_signal(signal.SIGINT)
        return clip(*arguments)

    monkeypatch.setattr(loop, "_clip", stop)
    with pytest.raises(loop.Stopped):
        run(clips, tmp_path / "mine", "mlflow")
    client = MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'mlflow.db'}")
    number = client.get_experiment_by_name("tootlearn").experiment_id
    (stopped,) = client.search_runs([number])
    assert stopped.info.status == "FAILED"
    rows = run(clips, tmp_path / "mine", "mlflow", resume=True)
    (found,) = client.search_runs([number])
    assert found.info.status == "FINISHED" and found.info.run_name == "mine"
    history = client.get_metric_history(found.info.run_id, "held_out/reconstruction")
    assert [metric.step for metric in history] == [2, 4]
    assert history[-1].value == rows[-1]["held_out"]["reconstruction"]
    assert (
        found.data.params["autoencoder.latent"] == "4" and found.data.params["generator"] == "None"
    )
    kept = {
        item.path for item in client.list_artifacts(found.info.run_id, "reconstruction/0000004")
    }
    assert {"reconstruction/0000004/0.png", "reconstruction/0000004/0.wav"} <= kept
    assert (tmp_path / "mlflow" / found.info.run_id / "artifacts/config.yaml").read_text(
        "utf8"
    ) == as_yaml(CONFIG)


def test_examples_show_the_original_above_what_was_drawn_and_are_as_loud(clips):
    learn, held_out = clips.split()
    model = build(
        replace(CONFIG, autoencoder=replace(CONFIG.autoencoder, linear=True)), learn
    ).train()
    model.autoencoder.decode = lambda z: model.normalizer(
        held_out.log_mel[[0, len(held_out) // 2, -1]][: len(z)].float()
    )
    shown = toot_examples(model, held_out)
    assert model.training and list(shown) == [f"reconstruction/{i}" for i in range(3)]
    for picture, _ in shown.values():
        assert (picture[:32] == picture[0]).all() or picture[:32].std() > 5
    picture, wave = shown["reconstruction/0"]
    # drawn perfectly: the same picture twice
    assert (picture[:32] == picture[34:]).all() and picture[:32].std() > 5
    made = model.front_end(wave)
    original = held_out.log_mel[0, :, : made.shape[1]].float()
    loud = original > original.max() - 4
    assert float((made - original)[loud].abs().mean()) < 0.25  # nepers: no gain is lost on the way


def test_a_run_without_trackers_writes_what_it_always_did(clips, tmp_path):
    run(clips, tmp_path / "plain")
    assert {path.name for path in (tmp_path / "plain").iterdir()} == {
        "log.jsonl",
        "checkpoint.safetensors",
        "model.safetensors",
    }


@pytest.mark.parametrize(
    ("tracker", "package", "message"),
    [
        ("tensorboard", "torch.utils.tensorboard", r"pip install 'tootlearn\[train\]'"),
        ("mlflow", "mlflow.tracking", r"pip install 'tootlearn\[mlflow\]'"),
        ("wandb", "wandb", "there is no tracker 'wandb': there are tensorboard, mlflow"),
    ],
)
def test_what_is_missing_is_named_with_the_line_that_installs_it(
    tmp_path, monkeypatch, tracker, package, message
):
    monkeypatch.setitem(sys.modules, package, None)
    with (
        pytest.raises(InputError, match=message),
        open_trackers([tracker], tmp_path / "run", CONFIG),
    ):
        pass
    assert not (tmp_path / "run").exists()


def test_the_command_tracks_and_looks_for_packages_before_it_makes_clips(
    tmp_path, capsys, monkeypatch
):
    words = [
        "train",
        "--preset",
        "baseline",
        "--device",
        "cpu",
        "--kinds",
        "[trumpet,car_horn]",
        "--clips",
        "24",
    ]
    words += [
        "--batch",
        "4",
        "--steps",
        "2",
        "--check-every",
        "1",
        "--front-end.hop",
        "512",
        "--front-end.mels",
        "16",
    ]
    words += ["--out", str(tmp_path / "run")]
    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr("tootlearn.training.dataset.gather_clips", None)
        main.main([*words, "--track", "tensorboard", "wandb"])
    assert (
        "there is no tracker 'wandb'" in capsys.readouterr().err and not (tmp_path / "run").exists()
    )
    main.main([*words, "--track", "tensorboard"])
    assert list((tmp_path / "run/tensorboard").glob("events*"))
