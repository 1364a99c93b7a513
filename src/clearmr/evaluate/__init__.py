"""Judging images: noise by pseudo-replicas, figures against a reference, what was removed, noise of a bare image."""

from clearmr.evaluate.metrics import evaluate
from clearmr.evaluate.noise_level import NoiseEstimate, estimate_noise_sd
from clearmr.evaluate.pseudo_replica import (
    ReplicaResult,
    complex_noise,
    g_from_replicas,
    pseudo_replica,
    receiver_noise,
)
from clearmr.evaluate.removed_noise import removed_noise

__all__ = [
    "NoiseEstimate",
    "ReplicaResult",
    "complex_noise",
    "estimate_noise_sd",
    "evaluate",
    "g_from_replicas",
    "pseudo_replica",
    "receiver_noise",
    "removed_noise",
]
