"""The detector: features, causal Conformer, runtimes, training, evaluation, weights."""
