"""The bolus of a simulated perfusion series: how strongly every kind of tissue is enhanced at a time.

Curves are gamma variates in the form of Madsen 1992 (Phys Med Biol 37:1597), told by their arrival and the time from
there to their peak; blood passes a second time, lower and wider (recirculation), and what leaks out of the vessels
washes in as 1 - exp(-t / tau) and stays. Arrivals follow the blood: right ventricle, lung, left ventricle after a
transit of about 5 s, aorta, myocardium a second behind the left ventricle and slower, spleen, muscle, liver, veins.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Curve:
    """Times in seconds after the bolus reaches the right ventricle; all parts in units of the first pass's peak."""

    arrival: float
    to_peak: float
    alpha: float
    again: float = 0.0  # height of the second passage
    leak: float = 0.0  # level to which the tissue fills
    tau: float = 12.0  # seconds in which it does


CURVES = {
    "right": Curve(0.0, 3.4, 3.0, again=0.22, leak=0.32),
    "lung": Curve(1.4, 4.6, 3.0, again=0.2, leak=0.3),
    "left": Curve(4.6, 5.5, 2.2, again=0.2, leak=0.34),
    "artery": Curve(5.4, 5.6, 2.2, again=0.2, leak=0.34),
    "myocardium": Curve(5.8, 8.2, 1.8, leak=0.25),
    "spleen": Curve(6.2, 7.0, 2.0, leak=0.55, tau=8.0),
    "liver": Curve(10.0, 20.0, 1.5, leak=0.3, tau=20.0),
    "vein": Curve(11.5, 16.0, 2.0, leak=0.35),
    "rest": Curve(7.0, 14.0, 1.0, leak=0.6, tau=25.0),
}
SECOND_PASSAGE = 11.0  # s after the first
KINDS = ("base", *CURVES)


def gamma_variate(t: Tensor, to_peak: float, alpha: float) -> Tensor:
    """(t / to_peak)^alpha exp(alpha (1 - t / to_peak)), 0 before t = 0; its peak is 1, at t = to_peak."""
    s = (t / to_peak).clamp(min=0)
    return s**alpha * torch.exp(alpha * (1 - s))


def enhancement(curve: Curve, t: Tensor) -> Tensor:
    """The curve at times t in seconds after the bolus reaches the right ventricle."""
    since = t - curve.arrival
    second = curve.again * gamma_variate(since - SECOND_PASSAGE, 2.2 * curve.to_peak, 0.6 * curve.alpha)
    filled = curve.leak * (1 - torch.exp(-since.clamp(min=0) / curve.tau))
    return gamma_variate(since, curve.to_peak, curve.alpha) + second + filled


def weights(seconds: Tensor, arrival: float) -> Tensor:
    """What each of `KINDS` adds at times `seconds`, of a bolus that arrives at `arrival`: (kind, frame); base is 1."""
    since = seconds - arrival
    return torch.stack([torch.ones_like(since), *(enhancement(curve, since) for curve in CURVES.values())])
