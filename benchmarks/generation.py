"""How fast a toot is made and a model trained, beside what librosa and torchaudio offer for the
same step.

    python benchmarks/generation.py --seconds 60

Three tables: from a mel spectrogram to a wave; the stages of one toot; training examples a second
from waves, beside a loop that makes log-mels one by one with librosa. The rivals take turns;
medians and ratios count.
"""

from dataclasses import replace

import numpy as np
import torch
from shared import interleaved, parser_of, started
from torch import Tensor

import tootlearn
from tootlearn.data import synthesis
from tootlearn.data.clips import synthesise
from tootlearn.dsp.front_end import FrontEnd
from tootlearn.dsp.phase import ridge_integration
from tootlearn.evaluation.metrics import compare
from tootlearn.models.decoder import Condition
from tootlearn.training import config as presets
from tootlearn.training.batches import Batch
from tootlearn.training.objective import Objective
from tootlearn.training.train import build


def mel_to_wave(seconds: float) -> None:
    """From the mel magnitudes of one toot to a wave: speed, and distance from the toot."""
    import librosa
    import torchaudio

    front_end = FrontEnd()
    wave = torch.from_numpy(synthesis.render("trumpet", 311.0, 1.5, 0.5, -14.0, seed=3))
    log_mel = front_end(wave)
    n = 256 * (log_mel.shape[-1] - 1)  # what librosa gives back of so many frames
    mel, wave = log_mel.exp().numpy(), wave[:n]
    inverse = torchaudio.transforms.InverseMelScale(
        513, 128, 22050, norm="slaney", mel_scale="slaney"
    )
    griffin_lim = torchaudio.transforms.GriffinLim(
        1024, n_iter=32, hop_length=256, power=1.0, length=n
    )
    to_audio = librosa.feature.inverse.mel_to_audio
    calls = {
        "librosa mel_to_audio, 32": lambda: to_audio(
            mel, sr=22050, n_fft=1024, hop_length=256, power=1.0, length=n
        ),
        "torchaudio, 32": lambda: griffin_lim(inverse(log_mel.exp())),
        "tootlearn, 2": lambda: ridge_integration(
            front_end.magnitude(log_mel), front_end.stft, iterations=2, length=n
        ),
        "tootlearn, 4": lambda: ridge_integration(
            front_end.magnitude(log_mel), front_end.stft, iterations=4, length=n
        ),
    }
    medians = interleaved(calls, seconds, rounds=3)
    unit = medians["librosa mel_to_audio, 32"]
    print(
        f"\n{'mel to wave, 2.04 s':28}{'ms':>9}{'speed':>8}"
        f"{'SC (dB)':>9}{'LSD (dB)':>9}{'mel L1':>8}{'MR':>7}"
    )
    for name, median in medians.items():
        d = compare(torch.as_tensor(calls[name]()), wave)
        figures = (d.spectral_convergence, d.log_spectral_distance, d.mel_l1, d.multi_resolution)
        row = "".join(
            f"{float(f):{w}.{p}f}"
            for f, w, p in zip(figures, (9, 9, 8, 7), (1, 2, 3, 2), strict=True)
        )
        print(f"{name:28}{1e3 * median:9.1f}{unit / median:8.1f}{row}")


def one_toot(seconds: float) -> None:
    """The stages of one toot."""
    generator = tootlearn.load()
    controls = generator.controls("trumpet", "A4", 1.0, 0.5, -14.0, seed=1)
    residual = generator.residual(controls, 1)
    network, front_end = generator.model.generator, generator.model.front_end
    assert network is not None
    with torch.inference_mode():
        log_mel = network.decode(Condition.of(controls), residual).log_mel[0]
        magnitude = front_end.magnitude(log_mel[None])
        calls = {
            "network": lambda: network.decode(Condition.of(controls), residual),
            "mel to magnitude": lambda: front_end.magnitude(log_mel[None]),
            "phase and wave": lambda: ridge_integration(magnitude, front_end.stft, iterations=4),
            "all: generate()": lambda: generator.generate("trumpet", "A4", 1.0, 0.5, -14.0, seed=1),
        }
        medians = interleaved(calls, seconds)
    print(f"\n{'one toot of 1 s':28}{'ms':>9}{'x real time':>13}")
    for name, median in medians.items():
        print(f"{name:28}{1e3 * median:9.1f}{1 / median:13.0f}")


def training_examples(seconds: float, batch: int = 32) -> None:
    """Examples a second of the default preset's training, from waves, without the losses that
    listen.
    """
    import librosa

    config = presets.preset("default", batch=batch, weights={})
    front_end = FrontEnd(config.front_end)
    waves, _ = synthesis.toots(config.kinds, batch, seed=0)
    clips = synthesise(config.kinds, batch, 0, front_end, progress=False)
    whole = Batch.of(clips, config.front_end, torch.device("cpu"))
    model = build(config, clips).train()
    optimizer, objective = torch.optim.AdamW(model.parameters(), 1e-3), Objective(model, config)

    def step(log_mel: Tensor) -> None:
        loss, _ = objective(replace(whole, log_mel=log_mel), 0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    def librosa_items() -> Tensor:
        items = []
        settings = {"sr": 22050, "n_fft": 1024, "hop_length": 256, "n_mels": 128, "power": 1.0}
        for wave in waves:
            mel = librosa.feature.melspectrogram(y=wave.numpy(), **settings)
            items.append(torch.from_numpy(np.log(np.maximum(mel, 1e-5)))[:, :176])
        return torch.stack(items)

    stored = clips.log_mel.float()
    calls = {
        "librosa, item by item": lambda: step(librosa_items()),
        "tootlearn, from waves": lambda: step(front_end(waves)),
        "tootlearn, stored log-mels": lambda: step(stored),
    }
    medians = interleaved(calls, seconds, rounds=3)
    unit = medians["librosa, item by item"]
    print(f"\n{f'training, batch {batch}':28}{'examples/s':>11}{'speed':>8}")
    for name, median in medians.items():
        print(f"{name:28}{batch / median:11.0f}{unit / median:8.2f}")


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument(
        "--seconds", type=float, default=30, help="of measuring, over all tables (default 30)"
    )
    options = started(parser)
    mel_to_wave(options.seconds / 3)
    one_toot(options.seconds / 3)
    training_examples(options.seconds / 3)


if __name__ == "__main__":
    main()
