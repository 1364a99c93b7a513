"""Scans whose truth is known: phantoms, coils, sampling and a receiver with noise of known covariance."""

from clearmr.simulate.acquire import Simulated, simulate
from clearmr.simulate.phantoms import SCENES, Scene
from clearmr.simulate.receiver import Receiver

__all__ = ["SCENES", "Receiver", "Scene", "Simulated", "simulate"]
