"""How good a model is, each figure beside a yardstick.

    metrics         distances between two waves, and rank correlation
    set_metrics     distances between two sets of embeddings, with their floor
    control         whether toots follow the controls that were asked for
    kind_accuracy   whether a classifier names the kinds of toots
    liveliness      whether toots move and breathe as recordings do
    set_distances   whether toots are like held-out sounds, and new
    reconstruction  the autoencoder beside PCA, the nearest clip and the mean
    degradations    sounds made worse by known amounts, to test metrics with
    report          all tables of a model: what `tootlearn evaluate` prints

Imports from every layer below it; `tuning` and this folder do not know each other. Start with
`report.evaluate_model` for a model and `metrics.compare` for a pair of sounds.
"""
