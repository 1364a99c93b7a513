"""Scans whose truth is known: phantoms or given images, coils, sampling, a receiver with noise of known covariance."""

from clearmr.simulate.brain import brain_tissues
from clearmr.simulate.phantoms import SCENES, Scene
from clearmr.simulate.receiver import Receiver
from clearmr.simulate.retrospective import ADDED_NOISE, noise_ladder, undersampled
from clearmr.simulate.scanning import Simulated, scan_of, simulate

__all__ = [
    "ADDED_NOISE",
    "SCENES",
    "Receiver",
    "Scene",
    "Simulated",
    "brain_tissues",
    "noise_ladder",
    "scan_of",
    "simulate",
    "undersampled",
]
