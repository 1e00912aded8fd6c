"""Signal processing: what holds for any sound, without data and without a model.

    audio          files to waves and back, resampling, trimming, levels
    stft           wave to complex spectrogram and back
    mel            magnitude to mel bands and back
    normalization  logarithm, zero mean and unit variance, and back
    front_end      the chain of these three: the one definition of wave to log-mel
    config         the settings of the front end, which need no torch
    phase          magnitude to wave: Griffin-Lim and ridge integration
    measures       onset, duration, loudness, brightness and pitch of a sound
    jitter, loudness, envelope, denoising   what else is measured on a wave, or done to it

Waves are float32 tensors (..., N) in [-1, 1]. A module here imports from this folder, `errors`,
`files` and `rng` only. Start with `front_end.FrontEnd`.
"""
