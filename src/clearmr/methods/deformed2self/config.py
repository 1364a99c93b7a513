"""Settings of Deformed2Self. Defaults are the paper's, or its reference code's where it says none."""

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class NetConfig:
    """f_s and f_m: `width` channels at first, `levels` max-poolings, decoder dropout of `drop`, at test time too.

    single, registration: whether there is f_s, and whether f_r moves the frames (Table 2 leaves out one or the other).
    """

    width: int = 48
    levels: int = 5
    drop: float = 0.3
    single: bool = True
    registration: bool = True


@dataclass(frozen=True)
class LossConfig:
    """lambda_s, lambda_r, 1, and lambda of equation 4; crossed: see `losses.registration_loss`."""

    single: float = 1.0
    registration: float = 1.0
    multi: float = 1.0
    smoothness: float = 0.1
    crossed: bool = True


@dataclass(frozen=True)
class TrainConfig:
    """How a model learns from one series.

    others         N, auxiliary frames of a target: the nearest in time
    steps          N_train; passes: N_test, averaged
    mask           share of pixels that is dropped
    shared_mask    whether f_m's target loses the pixels that f_s lost: nothing of them reaches f_m (ours); apart: paper
    targets        frames to a step; crop: side of a random crop in pixels, 0 for whole frames
    clip           of the gradient's norm
    average_decay  of a running mean of the weights, which is used at the end; 0: the last weights
    held_out       share of pixels that no loss ever sees; their error says when to stop; 0: all steps are taken
    check_every    steps; patience: checks without a better one until it stops
    """

    others: int = 4
    steps: int = 4000
    passes: int = 100
    mask: float = 0.3
    shared_mask: bool = False
    targets: int = 1
    crop: int = 0
    learning_rate: float = 1e-4
    clip: float = 100.0
    average_decay: float = 0.0
    held_out: float = 0.0
    check_every: int = 200
    patience: int = 5


@dataclass(frozen=True)
class PriorConfig:
    """What is ours: a given denoiser in place of the untrained first stage, the noise known (`prior.py`).

    steps     of learning from a first estimate of the series (`teaching.py`); 0: the prior as it is
    crop      side of its random crops
    views     of the series (as it is, mirrored, transposed) whose results are averaged
    patches   sides of the patches of `collaborative.filtered`, whose results are averaged; the first estimate's first
    rounds    of filtering, each with the last result as its guide; share: of the filtered, the rest is the pilot's
    similar   tubes to a group; window: how far they are looked for, in pixels
    """

    steps: int = 100
    crop: int = 112
    learning_rate: float = 2e-4
    average_decay: float = 0.95
    views: int = 4
    patches: tuple[int, ...] = (4, 6)
    rounds: int = 2
    share: float = 0.7
    similar: int = 160
    window: int = 8


@dataclass(frozen=True)
class Deformed2SelfConfig:
    """scheme: "target", a training for each target frame as published; "joint", one for all frames of the series;
    "prior", from a given denoiser.

    unbiased  whether Rice's bias is taken out of what blind spots learn of magnitudes
    filters   patch sides of collaborative filters that follow "target" or "joint", each with the last result as pilot
    """

    scheme: Literal["target", "joint", "prior"] = "target"
    unbiased: bool = False
    filters: tuple[int, ...] = ()
    net: NetConfig = field(default_factory=NetConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    prior: PriorConfig = field(default_factory=PriorConfig)
