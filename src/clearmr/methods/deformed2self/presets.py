"""Named settings: the paper's, and ours."""

from collections.abc import Callable

from clearmr.methods.deformed2self.config import Deformed2SelfConfig, NetConfig, TrainConfig


def paper() -> Deformed2SelfConfig:
    """As published: one training of 4000 steps (2000 on PINCAT) for each target frame, 100 passes, N = 4."""
    return Deformed2SelfConfig()


def scratch() -> Deformed2SelfConfig:
    """Joint, from nothing but the series: one model for all frames, smaller nets, crops, held-out pixels to stop by.

    What it gives is the pilot of three collaborative filters, since the noise is known.
    """
    return Deformed2SelfConfig(
        scheme="joint",
        unbiased=True,
        filters=(6, 4, 4),
        net=NetConfig(width=32, levels=4),
        train=TrainConfig(
            steps=800, passes=8, shared_mask=True, crop=96, learning_rate=1e-3, clip=1.0,
            average_decay=0.99, held_out=0.02, check_every=200, patience=2,
        ),
    )  # fmt: skip


def joint() -> Deformed2SelfConfig:
    """The default: from a given denoiser, the noise known, the whole series at once (`prior.py`)."""
    return Deformed2SelfConfig(scheme="prior", unbiased=True)


def tiny() -> Deformed2SelfConfig:
    """Seconds: to see that everything runs."""
    return Deformed2SelfConfig(
        scheme="joint",
        unbiased=True,
        net=NetConfig(width=8, levels=2),
        train=TrainConfig(
            steps=40, passes=4, shared_mask=True, crop=32, learning_rate=2e-3, clip=1.0, average_decay=0.9,
            held_out=0.02, check_every=10, patience=3,
        ),
    )  # fmt: skip


PRESETS: dict[str, Callable[[], Deformed2SelfConfig]] = {
    "joint": joint,
    "scratch": scratch,
    "paper": paper,
    "tiny": tiny,
}
