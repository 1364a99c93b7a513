"""Similar patches of an image filtered together, the noise known and a pilot at hand. Ours; no part of any paper here.

The second step of non-local Bayes (Lebrun, Buades, Morel 2013; for video Arias & Morel 2018). In a series a patch goes
through all frames at one place, a tube, so that what stays the same over time is in its covariance; in a volume it is a
box. A pilot says which patches are alike and how they vary; the noisy patches are then estimated by the linear filter
of least error.
"""

import itertools
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.nn.functional as F
from jaxtyping import Float, Inexact, Int
from torch import Tensor

from clearmr.evaluate.rician import as_gaussian

AT_ONCE = 2**19  # values of the groups that one thread has in work
AT_WORK = 8  # threads at the most: one alone adds up what they make
COMPARED = 2**23  # distances held while patches that are alike are looked for
ROUNDING = 2e-6  # of float32, on the diagonal of a product of matrices
FRAMES, OVERLAP = 18, 4  # of a tube at the most, and what the parts that longer series are cut into have in common

Three = tuple[int, int, int]
Task = TypeVar("Task")
Made = TypeVar("Made")


@dataclass(frozen=True)
class Groups:
    """Side of the patches, how many alike make a group, and how far they are looked for, in pixels or voxels.

    slices: of a patch in a volume, and how many slices up and down it is looked for; None: squares through all frames.
    colour: 0 or 1, groups are made about the patches of this colour of a chessboard; None: about all of them.
    certain: by so many SDs a group's mean has to have more power than noise would have, to be signal (`estimate`).
    """

    patch: int
    similar: int
    window: int
    slices: int | None = None
    colour: int | None = None
    certain: float = 0.0

    @property
    def sides(self) -> Three:
        """Of a patch along z, y and x."""
        return (self.slices or 1, self.patch, self.patch)

    @property
    def reach(self) -> Three:
        """How far it is looked along z, y and x."""
        return (self.slices or 0, self.window, self.window)


# Of series and volumes. Chosen on the simulated and the real cine at one noise level each, and on one head at two: near
# these, 0.3 dB matter at most.
TUBES, BOXES = Groups(4, 128, 8), Groups(4, 32, 4, slices=4)


def ticks(shape: Sequence[int], groups: Groups) -> int:
    """How often `filtered` ticks for a series (T, H, W) or a volume."""
    if groups.slices is None:
        return len(parts_of(shape[0]))
    return len(_layers(shape, groups))


def refined(
    noisy: Inexact[Tensor, "T H W"],
    pilot: Inexact[Tensor, "T H W"],
    noise_sd: Float[Tensor, "T H W"],
    groups: Groups,
    *,
    rician: bool,
    tick: Callable[[], None] = lambda: None,
) -> Inexact[Tensor, "T H W"]:
    """A denoised series or volume, `pilot`, made better by what its noisy original has in common with itself.

    noise_sd: of each of real and imaginary, in the image's unit; where it is 0 the image stays as it is. rician: real
    values are magnitudes, whose bias and variance follow from the pilot.
    """
    safe = torch.where(noise_sd > 0, noise_sd, noise_sd[noise_sd > 0].median())
    given, guess, variance = noisy / safe, pilot / safe, None
    if rician:
        given, variance = as_gaussian(given, guess)
        variance = variance[:, None]
    clean = filtered(_parts(given), _parts(guess), variance, groups, tick=tick)
    out = torch.complex(clean[:, 0], clean[:, 1]) if noisy.is_complex() else clean[:, 0]
    out = out.clamp_min(0) if rician else out
    return torch.where(noise_sd > 0, out.mul_(safe), noisy)


def _parts(values: Tensor) -> Tensor:
    """(T, H, W) as (T, C, H, W): real and imaginary parts, or the one that there is."""
    return torch.view_as_real(values).movedim(-1, 1) if values.is_complex() else values[:, None]


def filtered(
    noisy: Float[Tensor, "T C H W"],
    pilot: Float[Tensor, "T C H W"],
    variance: Float[Tensor, "T C H W"] | None,
    groups: Groups,
    *,
    tick: Callable[[], None] = lambda: None,
) -> Float[Tensor, "T C H W"]:
    """The series or volume, each patch estimated from those alike, the mean where patches overlap.

    variance: of the noise of each value; None: 1. Long series part by part (`parts_of`), volumes some layers at a time,
    with a `tick` after each. Values in no patch are the pilot's.
    """
    given = [values for values in (noisy, pilot, variance) if values is not None]
    if groups.slices is not None:
        volumes = [values.movedim(1, 0) for values in given]
        return _filtered(volumes, groups, tick).movedim(0, 1)
    total, count = torch.zeros_like(noisy), torch.zeros(len(noisy), 1, 1, 1)
    for part in parts_of(len(noisy)):
        tubes = [values[part].flatten(0, 1)[:, None] for values in given]
        total[part] += _filtered(tubes, groups, tick).view(noisy[part].shape)
        count[part] += 1
    return total / count


def parts_of(n_frames: int) -> list[slice]:
    """The fewest parts of at most FRAMES frames, alike in length, each with OVERLAP frames of the next, or more."""
    n_parts = max(1, -(-(n_frames - OVERLAP) // (FRAMES - OVERLAP)))
    length = -(-(n_frames + (n_parts - 1) * OVERLAP) // n_parts)
    starts = [index * (n_frames - length) // max(1, n_parts - 1) for index in range(n_parts)]
    return [slice(start, start + length) for start in starts]


def _filtered(given: Sequence[Tensor], groups: Groups, tick: Callable[[], None]) -> Tensor:
    """Of noisy, pilot and, if told, variance (R, D, H, W), R values at each place; mirrored beyond the border."""
    shape = given[0].shape[1:]
    beyond = [
        _mirror(n, reach, reach + -n % side) for n, side, reach in zip(shape, groups.sides, groups.reach, strict=True)
    ]
    total, count = _added([_mirrored(part, beyond) for part in given], _layers(shape, groups), groups, tick)
    for axis, side in enumerate(groups.sides):  # from where patches begin to all places that they reach
        count = sum(count.roll(by, axis) for by in range(1, side)) + count
    inside = tuple(slice(reach, reach + n) for reach, n in zip(groups.reach, shape, strict=True))
    total, count = total[(slice(None), *inside)], count[inside]
    return torch.where(count > 0, total / count, given[1])


def _added(
    given: Sequence[Tensor], layers: Sequence[range], groups: Groups, tick: Callable[[], None]
) -> tuple[Tensor, Tensor]:
    """(R, D, H, W) of all estimated patches added up, and (D, H, W): how many of them begin at each place."""
    n_values, *across = given[0].shape
    inside = _flat([torch.arange(side) for side in groups.sides], across)
    values = [part.flatten(1).T.contiguous() for part in given]
    total, count = torch.zeros_like(values[0]), torch.zeros(math.prod(across))
    n_dims = len(inside) * n_values
    chunk = max(1, AT_ONCE // (groups.similar * n_dims))

    def patches(corners: Tensor) -> tuple[Tensor, Tensor]:
        index = (corners[:, :, None] + inside).flatten()
        members = (part.index_select(0, index).view(*corners.shape, n_dims) for part in values)
        estimated = estimate(*members, certain=groups.certain)
        return index, estimated.view(-1, n_values)

    for some in layers:
        corners = alike(given[1], some, groups)
        count.index_add_(0, corners.flatten(), torch.ones(corners.numel()))
        for index, estimated in _side_by_side(patches, corners.split(chunk)):
            total.index_add_(0, index, estimated)
        tick()
    return total.T.unflatten(1, across), count.view(across)


def _side_by_side(work: Callable[[Task], Made], tasks: Iterable[Task]) -> Iterator[Made]:
    """What `work` makes of each task, in order: tasks side by side on PyTorch's threads, each on one.

    Each step of a task is too small to be worth dividing.
    """
    n_threads = torch.get_num_threads()
    n_workers = min(n_threads, AT_WORK)
    if n_workers == 1:
        yield from map(work, tasks)
        return
    waiting: deque[Future[Made]] = deque()
    try:
        with ThreadPoolExecutor(n_workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            for task in tasks:
                waiting.append(pool.submit(work, task))
                if len(waiting) > 2 * n_workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
    finally:
        torch.set_num_threads(n_threads)  # the pool's one is else what threads made later begin with


def estimate(
    noisy: Float[Tensor, "G K D"],
    pilot: Float[Tensor, "G K D"],
    variance: Float[Tensor, "G K D"] | None = None,
    *,
    certain: float = 0.0,
) -> Float[Tensor, "G K D"]:
    """Of G groups of K vectors: m + C (C + V)^-1 (noisy - m), C the covariance of the pilot, m a mean of the group.

    V is the variance, averaged over the group, or 1. Solved in the K vectors' own space, since D is the larger.
    certain: SDs of its own power that noise is allowed to have more of in the group's mean.
    """
    told = None if variance is None else variance.mean(1, keepdim=True).clamp_min(1e-12)
    center = pilot.mean(1, keepdim=True)
    mean, spread = _mean(noisy, center, told, certain), pilot - center
    white, apart = spread, noisy - mean
    if told is not None:
        white, apart = spread * told.rsqrt(), apart.mul_(told.rsqrt())
    n = noisy.shape[1]
    gram = white @ white.mT
    # Where the noise is next to nothing, float32 needs a little more on the diagonal: rounding errors of the product go
    # with its largest entry, and were seen to make it indefinite by 9e-7 of that.
    largest = gram.diagonal(dim1=1, dim2=2).amax(1)[:, None, None]
    gram = gram + (n - 1 + ROUNDING * largest) * torch.eye(n)
    weights = torch.cholesky_solve(white @ apart.mT, torch.linalg.cholesky(gram))
    return torch.baddbmm(mean, weights.mT, spread)


def _mean(noisy: Tensor, center: Tensor, variance: Tensor | None, certain: float) -> Tensor:
    """The pilot's mean, moved to the noisy vectors' as far as the noise does not explain that they differ.

    James & Stein 1961, positive part: the noisy mean alone would leave 1 / sqrt(K) of the noise where nothing is. Power
    of up to `certain` SDs over the expected is taken for noise too: the group was chosen by a pilot that may hold some
    of the same noise, which would grow from round to round.
    """
    apart = noisy.mean(1, keepdim=True) - center
    power = apart.square() if variance is None else apart.square() / variance
    n_values = apart.shape[-1]
    noise = (1 + certain * math.sqrt(2 / n_values)) * n_values / noisy.shape[1]
    explained = noise / power.sum(-1, keepdim=True).clamp_min(1e-12)
    return center + (1 - explained).clamp_min(0) * apart


def alike(pilot: Float[Tensor, "R D H W"], layers: range, groups: Groups) -> Int[Tensor, "G K"]:
    """For patches side by side in these layers of patches the corners of the `similar` nearest, as flat indices.

    pilot: with `reach` more on each side than is to be filtered.
    """
    sides, reach, across = groups.sides, groups.reach, pilot.shape[1:]
    counts = [(n - 2 * far) // side for n, side, far in zip(across, sides, reach, strict=True)]
    places = [torch.tensor(layers), *(torch.arange(n) for n in counts[1:])]
    corners = [at * side + far for at, side, far in zip(places, sides, reach, strict=True)]
    shifts = list(itertools.product(*(range(-far, far + 1) for far in reach)))
    chosen = _of_colour(places, groups.colour)

    def moved(shift: tuple[int, ...]) -> Tensor:
        ends = ((int(at[0]) + by, int(at[-1]) + by) for at, by in zip(corners, shift, strict=True))
        return pilot[(slice(None), *(slice(a, b + side) for (a, b), side in zip(ends, sides, strict=True)))]

    def distance(shift: tuple[int, ...]) -> Tensor:
        apart = (here - moved(shift)).square_().mean(0)
        return F.avg_pool3d(apart[None], sides)[0].flatten()[chosen]

    here = moved((0, 0, 0))
    # One array, made before: small ones kept between large ones that are freed would make the heap grow and grow.
    distances = torch.empty(len(shifts), int(chosen.sum()))
    for held, found in zip(distances, _side_by_side(distance, shifts), strict=True):
        held.copy_(found)
    distances[shifts.index((0, 0, 0))] = -1.0  # itself first, also where all are alike
    nearest = distances.T.topk(min(groups.similar, len(shifts)), dim=1, largest=False).indices
    offsets = torch.tensor([(z * across[1] + y) * across[2] + x for z, y, x in shifts])
    return offsets[nearest] + _flat(corners, across)[chosen, None]


def _of_colour(places: Sequence[Tensor], colour: int | None) -> Tensor:
    """Which of the patches with these z, y and x in the grid of patches are of this colour of a chessboard."""
    z, y, x = places
    parity = ((z[:, None, None] + y[:, None] + x) % 2).flatten()
    return torch.ones_like(parity, dtype=torch.bool) if colour is None else parity == colour


def _layers(shape: Sequence[int], groups: Groups) -> list[range]:
    """Layers of patches along z, as many at a time as keep to COMPARED."""
    depth, *across = (-(-n // side) for n, side in zip(shape, groups.sides, strict=True))
    each = math.prod(across) * math.prod(2 * far + 1 for far in groups.reach)
    some = max(1, COMPARED // each)
    return [range(start, min(start + some, depth)) for start in range(0, depth, some)]


def _flat(places: Sequence[Tensor], across: Sequence[int]) -> Tensor:
    """Flat indices into (D, H, W), which is `across`, of all places with these z, y and x."""
    z, y, x = places
    return ((z[:, None, None] * across[1] + y[:, None]) * across[2] + x).flatten()


def _mirror(n: int, before: int, after: int) -> Tensor:
    """Indices of an axis of n that is mirrored at its ends as often as is needed."""
    period = max(1, 2 * n - 2)
    at = torch.arange(-before, n + after) % period
    return torch.where(at < n, at, period - at)


def _mirrored(values: Tensor, beyond: Sequence[Tensor]) -> Tensor:
    z, y, x = beyond
    return values[:, z[:, None, None], y[:, None], x]
