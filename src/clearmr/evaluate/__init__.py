"""Judging images: noise by pseudo-replicas, figures against a reference, what was removed, noise of a bare image."""

from clearmr.evaluate.metrics import evaluate
from clearmr.evaluate.pseudo_replica import (
    ReplicaResult,
    complex_noise,
    g_from_replicas,
    pseudo_replica,
    receiver_noise,
)
from clearmr.evaluate.removed_noise import removed_noise

__all__ = [
    "ReplicaResult",
    "complex_noise",
    "evaluate",
    "g_from_replicas",
    "pseudo_replica",
    "receiver_noise",
    "removed_noise",
]
