"""One model learns from one series; its passes are averaged. Series are (T, C, H, W), intensities of about 0 to 1."""

import copy
import dataclasses
import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from clearmr.methods.deformed2self import draws, model
from clearmr.methods.deformed2self.config import Deformed2SelfConfig, TrainConfig
from clearmr.methods.deformed2self.model import Deformed2SelfNet

HELD_OUT_PASSES = 2
AT_ONCE = 8  # frames through f_s in a pass
Tick = Callable[[], None]


def no_tick() -> None:
    """Says nothing."""


@dataclass(frozen=True)
class Course:
    """What a run is told beside its data: seed, device, bf16, the clock time (monotonic) to stop by, what to tick."""

    seed: int = 0
    device: str = "cpu"
    bf16: bool = False
    deadline: float = math.inf
    tick: Tick = no_tick

    @property
    def late(self) -> bool:
        return time.monotonic() >= self.deadline


@dataclass(frozen=True)
class Trained:
    """A model; after how many steps it is; why it stopped: "steps", "held out" or "budget"; its held-out error."""

    net: Deformed2SelfNet
    steps: int
    stopped: str
    error: float


def train(
    series: Float[Tensor, "T C H W"], frames: tuple[int, ...], config: Deformed2SelfConfig, course: Course
) -> Trained:
    """Learn from `series` with targets drawn among `frames`. Randomness from course.seed alone: the same bits again."""
    with torch.random.fork_rng([]):
        torch.manual_seed(course.seed)  # the dropout of the networks
        return _Run(series, frames, config, course).run()


class _Run:
    """The state of one training."""

    def __init__(self, series: Tensor, frames: tuple[int, ...], config: Deformed2SelfConfig, course: Course) -> None:
        self.series, self.frames, self.config, self.course = series, frames, config, course
        self.others = min(config.train.others, len(series) - 1)
        net = model.build(config.net, channels=series.shape[1], others=self.others, seed=course.seed)
        self.net = net.to(course.device)
        self.mean = copy.deepcopy(self.net).requires_grad_(False)
        rate = config.train.learning_rate
        self.optimizer = torch.optim.Adam(self.net.parameters(), lr=rate)
        self.generator = torch.Generator().manual_seed(course.seed)
        shape = (len(series), 1, *series.shape[-2:])
        self.hidden = (torch.rand(shape, generator=self.generator) < config.train.held_out).float()

    def run(self) -> Trained:
        asked = self.config.train
        best, since, found = math.inf, 0, Trained(copy.deepcopy(self.net), 0, "held out", math.inf)
        for step in range(1, asked.steps + 1):
            if self.course.late and step > 1:
                return self._last(found, step - 1, "budget")
            self._step(step)
            self.course.tick()
            if asked.held_out and step % asked.check_every == 0:
                error = self._held_out_error()
                since = 0 if error < best else since + 1
                if error < best:
                    best, found = error, Trained(copy.deepcopy(self._final), step, "held out", error)
                if since >= asked.patience:
                    return found
        return self._last(found, asked.steps, "steps")

    def _last(self, found: Trained, step: int, why: str) -> Trained:
        """The model now; the best of the checks instead, where it is better by the held-out error."""
        if not self.config.train.held_out:
            return Trained(self._final.eval(), step, why, math.inf)
        error = self._held_out_error()
        if error <= found.error:
            return Trained(self._final.eval(), step, why, error)
        return dataclasses.replace(found, stopped=why)

    @property
    def _final(self) -> Deformed2SelfNet:
        return self.mean if self.config.train.average_decay else self.net

    def _step(self, step: int) -> None:
        train_, shape = self.config.train, tuple(self.series.shape[-2:])
        drawn = draws.draw(self.frames, (shape[0], shape[1]), train_, self.generator, others=self.others)
        noisy, hidden = (
            draws.cut(part, drawn, self.others).to(self.course.device) for part in (self.series, self.hidden)
        )
        masks, mask = drawn.masks.to(self.course.device), drawn.mask.to(self.course.device)
        with torch.autocast(torch.device(self.course.device).type, torch.bfloat16, enabled=self.course.bf16):
            stages = self.net(noisy, masks, mask)
        seen, seen_target = torch.maximum(masks, hidden), torch.maximum(mask, hidden[:, 0])
        terms = model.losses_of(self.net, stages, noisy, seen, seen_target, self.config.loss)
        self.optimizer.zero_grad(set_to_none=True)
        terms.total.backward()
        nn.utils.clip_grad_norm_(self.net.parameters(), train_.clip)
        self.optimizer.step()
        self._average(step)

    def _average(self, step: int) -> None:
        """The running mean of the weights, which forgets faster at the beginning."""
        decay = min(self.config.train.average_decay, (1 + step) / (10 + step))
        if not self.config.train.average_decay:
            return
        with torch.no_grad():
            for mean, now in zip(self.mean.parameters(), self.net.parameters(), strict=True):
                mean.lerp_(now, 1 - decay)

    def _held_out_error(self) -> float:
        """Mean squared error on the pixels that no loss sees, hidden from the networks too."""
        with torch.random.fork_rng([]):
            found = passes(
                self._final, self.series, self.frames, self.config.train, n=HELD_OUT_PASSES,
                course=Course(self.course.seed + 1, self.course.device, self.course.bf16), hidden=self.hidden,
            )  # fmt: skip
        chosen = list(self.frames)
        hidden = self.hidden[chosen]
        left = (found.image - self.series[chosen]).square() * hidden
        return float(left.sum() / (hidden.sum() * self.series.shape[1]).clamp_min(1))


@dataclass(frozen=True)
class Averaged:
    """Means over n passes: image (F, C, H, W) of the F targets, fields (F, N, 2, H, W) onto them, in pixels (y, x)."""

    image: Tensor
    fields: Tensor
    n: int


def passes(
    net: Deformed2SelfNet,
    series: Float[Tensor, "T C H W"],
    frames: tuple[int, ...],
    config: TrainConfig,
    *,
    n: int,
    course: Course,
    hidden: Tensor | None = None,
) -> Averaged:
    """The mean of n passes with dropout and masks, mirrored at random and turned back. Fewer where time runs out.

    hidden (T, 1, H, W): pixels that are dropped from every pass. f_s sees each frame once a pass, for all targets.
    """
    generator = torch.Generator().manual_seed(course.seed)
    total, fields, done = torch.zeros(()), torch.zeros(()), 0
    with torch.random.fork_rng([]), torch.inference_mode():
        torch.manual_seed(course.seed)
        for _ in range(max(1, n)):
            if done and course.late:
                break
            image, field = _pass(net, series, frames, config, course, generator, hidden)
            total, fields, done = total + image, fields + field, done + 1
            course.tick()
    return Averaged((total / done).clone(), (fields / done).clone(), done)


def _pass(
    net: Deformed2SelfNet, series: Tensor, frames: tuple[int, ...], config: TrainConfig, course: Course,
    generator: torch.Generator, hidden: Tensor | None,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """One pass over all targets: (F, C, H, W), (F, N, 2, H, W)."""
    axes = tuple(axis for axis in (-2, -1) if int(torch.randint(2, (), generator=generator)))
    masks, mask = draws.masks_of((1, len(series), *series.shape[-2:]), config, generator)
    if hidden is not None:
        shown = 1 - hidden.flip(axes) if axes else 1 - hidden
        masks, mask = masks * shown, mask * (shown if config.shared_mask else 1)
    noisy = series.flip(axes) if axes else series
    noisy, masks = noisy.to(course.device), masks[0].to(course.device)
    images, fields = [], []
    with torch.autocast(torch.device(course.device).type, torch.bfloat16, enabled=course.bf16):
        chunks = zip(noisy.split(AT_ONCE), masks.split(AT_ONCE), strict=True)
        every = torch.cat([net.denoise(part[None], mask[None])[1] for part, mask in chunks], 1)
        for target in frames:
            own = (
                masks[target] if config.shared_mask else draws.masks_of((1, 1, *noisy.shape[-2:]), config, generator)[1]
            )
            if hidden is not None:
                own = own.cpu() * (1 - (hidden[target].flip(axes) if axes else hidden[target]))
            order = [target, *draws.others_of(target, len(series), net.others)]
            image, field = net.refine(every[:, order], own.to(course.device).view(1, 1, *noisy.shape[-2:]))
            images.append(image.flip(axes) if axes else image)
            fields.append(_turned_back(field, axes))
    return torch.cat(images).float().cpu(), torch.cat(fields).float().cpu()


def _turned_back(field: Tensor, axes: tuple[int, ...]) -> Tensor:
    """A field of a mirrored series as that of the series: its component along a mirrored axis changes sign."""
    if not axes:
        return field
    sign = torch.tensor([-1.0 if axis in axes else 1.0 for axis in (-2, -1)], device=field.device)
    return field.flip(axes) * sign[:, None, None]
