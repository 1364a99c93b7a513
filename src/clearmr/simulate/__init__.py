"""Scans whose truth is known: phantoms or given images, coils, sampling, a receiver with noise of known covariance."""

from clearmr.simulate.brain import brain_tissues
from clearmr.simulate.dwi import DwiHead, Protocol, dwi_head, with_protocol
from clearmr.simulate.image_noise import NOISE_MODELS, gaussian_noise, image_noise, poisson_noise, rician_noise
from clearmr.simulate.phantoms import SCENES, Scene
from clearmr.simulate.pincat import PincatSeries, pincat_series
from clearmr.simulate.receiver import Receiver
from clearmr.simulate.repeats import Move, draw_moves, moved, repeats
from clearmr.simulate.retrospective import ADDED_NOISE, noise_ladder, undersampled
from clearmr.simulate.scanning import Simulated, scan_of, simulate

__all__ = [
    "ADDED_NOISE",
    "NOISE_MODELS",
    "SCENES",
    "DwiHead",
    "Move",
    "PincatSeries",
    "Protocol",
    "Receiver",
    "Scene",
    "Simulated",
    "brain_tissues",
    "draw_moves",
    "dwi_head",
    "gaussian_noise",
    "image_noise",
    "moved",
    "noise_ladder",
    "pincat_series",
    "poisson_noise",
    "repeats",
    "rician_noise",
    "scan_of",
    "simulate",
    "undersampled",
    "with_protocol",
]
