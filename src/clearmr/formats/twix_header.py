"""The protocol of a Siemens twix file: matrix, fields of view, regridding, dwell time."""

from typing import Any

import numpy as np

from clearmr.formats.lines import CALIBRATION, IMAGING, Lines, ScanHeader, Space
from clearmr.scan import Trapezoid

TRAPEZOID = 2  # alRegridMode


def dig(tree: Any, *keys: str | int, default: Any = None) -> Any:
    """The entry at a path of keys and indices, or `default` where any is missing."""
    for key in keys:
        try:
            tree = tree[key]
        except (KeyError, IndexError, TypeError):
            return default
    return tree


def number(tree: Any, *keys: str | int, default: float = 0.0) -> float:
    """The number at a path of keys, or `default` where there is none."""
    value = dig(tree, *keys, default=default)
    return float(value) if isinstance(value, int | float | np.number) else default


def dwell_us(header: Any, contrast: int) -> float:
    """Dwell time of one sample, oversampling included, in microseconds; 0 where the protocol has none."""
    times = dig(header, "MeasYaps", "sRXSPEC", "alDwellTime", default=[])
    times = times if isinstance(times, list) else [times]
    known = [float(t) for t in times if isinstance(t, int | float) and t > 0]
    return (known[contrast] if contrast < len(known) else known[0]) / 1000 if known else 0.0


def is_epi(header: Any, reflected: bool) -> bool:
    """Lines read backwards, and an echo train: an EPI (a bipolar multi-echo scan has no train)."""
    return reflected and number(header, "MeasYaps", "sFastImaging", "lEPIFactor", default=1.0) > 1


def ramp(header: Any) -> tuple[Trapezoid | None, list[str]]:
    """Ramp sampling of the protocol (times in microseconds), and a warning where it is no trapezoid."""
    meas = dig(header, "Meas", default={})
    mode = number(meas, "alRegridMode", 0, default=1.0)
    if mode <= 1:
        return None, []
    if mode != TRAPEZOID:
        return None, [f"regridding mode {mode:.0f} is no trapezoid; samples are taken as equidistant"]
    up, flat, down, delay = (
        number(meas, name, 0)
        for name in (
            "alRegridRampupTime",
            "alRegridFlattopTime",
            "alRegridRampdownTime",
            "alRegridDelaySamplesTime",
        )
    )
    return Trapezoid(up, flat, down, delay, number(meas, "aflRegridADCDuration", 0)), []


def _describes(header: Any, lines: Lines, columns: int) -> bool:
    """Whether the protocol's matrix is that of the data: not so for Pulseq, whose protocol is a dummy."""
    kspace = dig(header, "MeasYaps", "sKSpace", default={})
    base, rows = number(kspace, "lBaseResolution"), number(kspace, "lPhaseEncodingLines")
    sequence = str(dig(header, "MeasYaps", "tSequenceFileName", default="")).lower()
    used = lines.table[lines.having(IMAGING | CALIBRATION)]
    fits = base < columns <= 2 * base and used["k1"].max() < rows
    return bool(fits) and "pulseq" not in sequence


def _room(counter: np.ndarray, said: int, center: int | None) -> int:
    """Size of an axis that holds all counters round the centre: `said`, or more where that is too small."""
    if center is None:
        return max(said, int(counter.max()) + 1)
    return max(said, 2 * (int(counter.max()) - center) + 1, 2 * (center - int(counter.min())))


def space_of(header: Any, lines: Lines, centers: tuple[int, int]) -> tuple[Space, list[str]]:
    """The encoding, by the protocol where it fits the data, else by the data. `centers`: counters of (k2, k1)."""
    used = lines.table[lines.having(IMAGING | CALIBRATION)]
    columns = max(lines.samples[i].shape[1] for i in lines.having(IMAGING))
    fov, oversampled = _fov(header), _oversampling(header)
    trapezoid, warnings = ramp(header)
    pat = dig(header, "MeasYaps", "sPat", default={})
    shared = {
        "acceleration": (int(number(pat, "lAccelFactPE", default=1.0)), int(number(pat, "lAccelFact3D", default=1.0))),
        "trajectory": "epi" if is_epi(header, bool(used["reversed"].any())) else "cartesian",
        "ramp": trapezoid,
    }
    if not _describes(header, lines, columns):
        center = tuple(c or None for c in centers)
        size = tuple(_room(used[k], 1, c) for k, c in zip(("k2", "k1"), center, strict=True))
        matrix = (*size, columns)
        said = "the protocol does not describe the data (Pulseq); matrix from the data, field of view from the protocol"
        return Space(matrix, fov, matrix, fov, center, **shared), [*warnings, said]  # type: ignore[arg-type]
    kspace = dig(header, "MeasYaps", "sKSpace")
    base, flat = int(number(kspace, "lBaseResolution")), used["k2"].max() == 0
    partitions = 1 if flat else int(number(kspace, "lPartitions", default=1.0))
    ny = _room(used["k1"], int(number(kspace, "lPhaseEncodingLines")), centers[1])
    nz = 1 if flat else _room(used["k2"], partitions, centers[0])
    images = 1 if flat else max(1, int(number(kspace, "lImagesPerSlab", default=float(nz))))
    recon = (images, max(1, round(base * fov[1] / fov[2])), base)
    encoded_fov = (fov[0] * oversampled[0], fov[1] * oversampled[1], 2 * fov[2])
    return Space((nz, ny, 2 * base), encoded_fov, recon, fov, (centers[0], centers[1]), **shared), warnings  # type: ignore[arg-type]


def _fov(header: Any) -> tuple[float, float, float]:
    slab = dig(header, "MeasYaps", "sSliceArray", "asSlice", 0, default={})
    names = ("dThickness", "dPhaseFOV", "dReadoutFOV")
    z, y, x = (number(slab, name, default=1.0) or 1.0 for name in names)
    return z, y, x


def _oversampling(header: Any) -> tuple[float, float]:
    kspace = dig(header, "MeasYaps", "sKSpace", default={})
    slices = 1 + number(kspace, "dSliceOversamplingForDialog")
    return slices, 1 + number(kspace, "dPhaseOversamplingForDialog")


def coil_labels(header: Any, n_coils: int) -> tuple[str, ...]:
    """Coil element names, where the protocol names as many as there are channels."""
    listed = dig(header, "MeasYaps", "sCoilSelectMeas", "aRxCoilSelectData", 0, "asList", default=[])
    names = [dig(coil, "sCoilElementID", "tElement") for coil in (listed if isinstance(listed, list) else [])]
    return tuple(str(n) for n in names) if len(names) == n_coils and all(names) else ()


def describe(header: Any, space: Space, n_coils: int, warnings: list[str]) -> ScanHeader:
    """What the assembler needs of a protocol. Twix has no receiver bandwidth ratio."""
    meta = {
        "vendor": dig(header, "Dicom", "Manufacturer"),
        "model": dig(header, "Dicom", "ManufacturersModelName"),
        "field_T": number(header, "Dicom", "flMagneticFieldStrength") or None,
        "protocol": dig(header, "MeasYaps", "tProtocolName"),
    }
    kept = {name: value for name, value in meta.items() if value is not None}
    return ScanHeader((space,), coil_labels(header, n_coils), meta=kept, warnings=tuple(warnings))
