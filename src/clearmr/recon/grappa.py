"""GRAPPA calibration: one convolution kernel that fills a lattice, whatever the lattice's offset.

Griswold et al., MRM 2002; Breuer et al. 2005 (TGRAPPA), 2006 (2D CAIPIRINHA). All targets share their sources, so one
normal matrix serves them all; its blocks depend only on the difference of two readout offsets, so few are computed.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from clearmr.errors import InputError

Offset = tuple[int, int]  # (k2, k1), in lines


@dataclass(frozen=True)
class GrappaKernel:
    """Composite kernel (coil_out, coil_in, k2, k1, k0), without unit: full(k) = sum_d weights[d] lattice(k + d).

    d runs over -(n // 2) .. n // 2 of each odd-sized axis; the identity that keeps acquired lines is its centre.
    `lines` is the number of source lines (k2, k1) that was used: fewer than asked for where the ACS is short.
    """

    weights: Tensor
    acceleration: tuple[int, int]
    caipi_shift: int
    lines: tuple[int, int]


def calibrate_grappa(
    calibration: Tensor,
    acceleration: tuple[int, int],
    *,
    kernel: tuple[int, int, int] = (1, 4, 5),
    caipi_shift: int = 0,
    regularisation: float = 1e-5,
) -> GrappaKernel:
    """Fit the kernel to fully sampled lines (coil, k2, k1, k0); acceleration (R of k1, R of k2), kernel (k2, k1, k0).

    Raises InputError for a single coil with R > 1 and for calibration lines too few for the smallest kernel (2 lines).
    """
    n_coils = calibration.shape[0]
    if acceleration == (1, 1):
        identity = torch.eye(n_coils, dtype=calibration.dtype, device=calibration.device)[:, :, None, None, None]
        return GrappaKernel(identity, acceleration, 0, (1, 1))
    if n_coils == 1:
        raise InputError(f"several coils for R = {_product(acceleration)}", "one coil", "acquire it fully sampled")
    lines = _fitting_lines(calibration, acceleration, kernel, caipi_shift)
    sources = _sources(lines, acceleration, caipi_shift)
    targets = _targets(acceleration, caipi_shift)
    weights = _solve(calibration, sources, targets, kernel[2], regularisation)
    return GrappaKernel(_composite(weights, sources, targets), acceleration, caipi_shift, lines)


def _product(acceleration: tuple[int, int]) -> int:
    return acceleration[0] * acceleration[1]


def _centred(n: int) -> range:
    """n steps round a cell: -1, 0, 1, 2 for four, -1, 0, 1 for three, 0, 1 for two."""
    return range(-((n - 1) // 2), n // 2 + 1)


def _sources(lines: tuple[int, int], acceleration: tuple[int, int], shift: int) -> list[Offset]:
    """Lattice points near one cell, as offsets (k2, k1) from its acquired corner."""
    r1, r2 = acceleration
    points = []
    for i in _centred(lines[1]):
        moved = (shift * i) % r2
        moved -= r2 if moved > r2 // 2 else 0
        points += [(r2 * j + moved, r1 * i) for j in _centred(lines[0])]
    return points


def _targets(acceleration: tuple[int, int], shift: int) -> list[Offset]:
    """The missing points of one cell, as offsets (k2, k1) from its acquired corner."""
    r1, r2 = acceleration
    return [(t2, t1) for t1 in range(r1) for t2 in range(r2) if (t2, t1) != (0, 0)]


def _span(points: list[Offset], axis: int) -> tuple[int, int]:
    along = [point[axis] for point in points]
    return min(along), max(along)


def _fitting_lines(
    calibration: Tensor, acceleration: tuple[int, int], kernel: tuple[int, int, int], shift: int
) -> tuple[int, int]:
    """The most source lines (k2, k1), up to the kernel's, that the calibration lines can determine."""
    most = (min(kernel[0], 1 if calibration.shape[1] == 1 else kernel[0]), kernel[1])
    for lines in _shrinking(most):
        points = _sources(lines, acceleration, shift) + _targets(acceleration, shift)
        spans = [high - low for low, high in (_span(points, 0), _span(points, 1))]
        positions = [n - span for n, span in zip(calibration.shape[1:3], spans, strict=True)]
        unknowns = lines[0] * lines[1] * kernel[2] * calibration.shape[0]
        if min(positions) > 0 and positions[0] * positions[1] * calibration.shape[3] >= unknowns:
            return lines
    need = tuple(span + 1 for span in spans)
    expected = (
        f"at least {need[0]} x {need[1]} (k2 x k1) calibration lines for R = {acceleration[0]} x {acceleration[1]}"
    )
    found = f"an ACS too small for the kernel: {calibration.shape[1]} x {calibration.shape[2]} lines"
    raise InputError(expected, found, "acquire more calibration lines, or a smaller R")


def _shrinking(most: tuple[int, int]) -> list[tuple[int, int]]:
    sizes = [(n2, n1) for n1 in range(most[1], 1, -1) for n2 in range(most[0], min(most[0], 2) - 1, -1)]
    return sorted(sizes, key=lambda lines: -lines[0] * lines[1])


def _lines_at(calibration: Tensor, points: list[Offset], corner: Offset, count: Offset) -> Tensor:
    """The lines at every point for every cell of the block: (point * coil, cell, k0)."""
    views = [
        calibration[:, corner[0] + d2 : corner[0] + d2 + count[0], corner[1] + d1 : corner[1] + d1 + count[1]]
        for d2, d1 in points
    ]
    return torch.stack(views).flatten(0, 1).flatten(1, 2)


def _solve(
    calibration: Tensor, sources: list[Offset], targets: list[Offset], width: int, regularisation: float
) -> Tensor:
    """Weights (source, coil_in, k0, target, coil_out) of the regularised least-squares fit."""
    spans = [_span(sources + targets, axis) for axis in (0, 1)]
    corner = (-spans[0][0], -spans[1][0])
    count = (calibration.shape[1] - spans[0][1] + spans[0][0], calibration.shape[2] - spans[1][1] + spans[1][0])
    known = _lines_at(calibration, sources, corner, count)
    wanted = _lines_at(calibration, targets, corner, count)
    normal, right = _normal_equations(known, wanted, width)
    ridge = regularisation * torch.diagonal(normal).real.mean()
    normal = normal + ridge * torch.eye(len(normal), dtype=normal.dtype, device=normal.device)
    weights = torch.cholesky_solve(right, torch.linalg.cholesky(normal))
    n_coils = calibration.shape[0]
    order = weights.reshape(width, len(sources), n_coils, len(targets), n_coils)
    return order.permute(1, 2, 0, 3, 4).to(calibration.dtype)


def _normal_equations(known: Tensor, wanted: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """A^H A (k0 * source, k0 * source) and A^H B (k0 * source, target), complex128; k-space is zero outside k0.

    Block (d, d') of A^H A is the correlation of the sources at lag d' - d: only `width` lags are computed.
    """
    reach = width // 2
    padded = torch.nn.functional.pad(known, (width - 1, width - 1))
    n0 = known.shape[-1]
    lags = torch.stack([padded[..., width - 1 + lag : width - 1 + lag + n0] for lag in range(-reach, width)])
    conjugate = known.flatten(1).conj()
    ahead = [(conjugate @ lags[reach + lag].flatten(1).T).to(torch.complex128) for lag in range(width)]
    blocks = [[ahead[e - d] if e >= d else ahead[d - e].mH for e in range(width)] for d in range(width)]
    normal = torch.cat([torch.cat(row, dim=1) for row in blocks])
    right = torch.cat([lags[reach + d].flatten(1).conj() @ wanted.flatten(1).T for d in range(-reach, width - reach)])
    return normal, right.to(torch.complex128)


def _composite(weights: Tensor, sources: list[Offset], targets: list[Offset]) -> Tensor:
    """Put every target's weights at their distance from it, and the identity at the centre."""
    n_coils, width = weights.shape[1], weights.shape[2]
    reach = [max(abs(s[a] - t[a]) for s in sources for t in [*targets, (0, 0)]) for a in (0, 1)]
    shape = (n_coils, n_coils, 2 * reach[0] + 1, 2 * reach[1] + 1, width)
    kernel = torch.zeros(shape, dtype=weights.dtype, device=weights.device)
    for s, source in enumerate(sources):
        for t, target in enumerate(targets):
            at = (source[0] - target[0] + reach[0], source[1] - target[1] + reach[1])
            kernel[:, :, at[0], at[1]] += weights[s, :, :, t].permute(2, 0, 1)
    kernel[:, :, reach[0], reach[1], width // 2] += torch.eye(n_coils, dtype=weights.dtype, device=weights.device)
    return kernel
