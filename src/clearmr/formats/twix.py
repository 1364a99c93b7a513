"""Siemens raw data (.dat, VB to XA), through twixtools: the last measurement is the scan, earlier ones give noise."""

import contextlib
import io
import struct
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from clearmr.errors import InputError
from clearmr.formats.assemble import assemble
from clearmr.formats.lines import CALIBRATION, IMAGING, LINE, NAVIGATOR, NOISE, SKIPPED, Lines
from clearmr.formats.noise import noise_of, with_noise
from clearmr.formats.twix_header import coil_labels, describe, dwell_us, is_epi, space_of
from clearmr.formats.twix_walk import SMALLEST_HEADER, check_whole, is_raid
from clearmr.scan import NoiseScan, RawScan

NAME = "twix"
KIND = "Siemens twix (.dat)"
ENDINGS = (".dat",)

NOT_IMAGES = ("RTFEEDBACK", "HPFEEDBACK", "REFPHASESTABSCAN", "PHASESTABSCAN", "PHASCOR", "RETRO_DUMMYSCAN", "SYNCDATA")
COUNTERS = {
    "k1": "Lin",
    "k2": "Par",
    "slice": "Sli",
    "contrast": "Eco",
    "phase": "Phs",
    "repetition": "Rep",
    "set": "Set",
}
DAMAGE = (
    ValueError, KeyError, IndexError, OSError, EOFError,
    ArithmeticError, MemoryError, RuntimeError, UnboundLocalError, struct.error,
)  # fmt: skip


def sniff(path: Path) -> bool:
    """Whether the file begins as twix does: a table of measurements, or (VB) the length of a protocol and its parts."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        start = file.read(64)
    size = path.stat().st_size
    if len(start) < 32:
        return False
    if is_raid(start):
        offset = struct.unpack_from("<Q", start, 16)[0]
        return start[:4] in (b"\0\0\0\0", b"\1\0\0\0") and offset > 8
    length, parts = struct.unpack_from("<II", start)
    return SMALLEST_HEADER < length < size and 1 <= parts <= 16 and start[8:14].isalpha()


def _read(path: Path) -> list[dict[str, Any]]:
    """twixtools' measurements, without what it prints. Raises InputError for a damaged file."""
    import twixtools  # not above: it takes a second, and any file is asked whether it is twix

    check_whole(path)
    quiet = io.StringIO()
    try:
        with contextlib.redirect_stdout(quiet), contextlib.redirect_stderr(quiet), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = twixtools.read_twix(
                _named(path), parse_pmu=False, parse_geometry=False, keep_syncdata=False, verbose=False
            )
    except (*DAMAGE, TypeError, AttributeError) as error:
        found = f"{path.name} that twixtools cannot read ({type(error).__name__}: {error})"
        raise InputError("a whole twix file", found, "copy or export the file again") from error
    return [m for m in found if isinstance(m, dict) and "mdb" in m]


def _named(path: Path) -> str:
    """twixtools appends .dat to a name without an ending."""
    if path.suffix:
        return str(path)
    raise InputError("a twix file with an ending", path.name, "rename it to end with .dat")


def _role(mdb: Any, *, epi: bool) -> int:
    if mdb.is_flag_set("NOISEADJSCAN"):
        return NOISE
    reference, both = mdb.is_flag_set("PATREFSCAN"), mdb.is_flag_set("PATREFANDIMASCAN")
    if mdb.is_flag_set("PHASCOR"):
        return NAVIGATOR if epi and not reference and not both else SKIPPED
    if any(mdb.is_flag_set(flag) for flag in NOT_IMAGES):
        return SKIPPED
    if both:
        return IMAGING | CALIBRATION
    return CALIBRATION if reference else IMAGING


def _directions(quaternion: np.ndarray) -> np.ndarray:
    """Rows phase, read, slice in LPS of a unit quaternion (scalar first), as siemens_to_ismrmrd takes them."""
    r, i, j, k = (float(q) for q in quaternion)
    return np.array(
        [
            [1 - 2 * (j * j + k * k), 2 * (i * j + k * r), 2 * (i * k - j * r)],
            [2 * (i * j - k * r), 1 - 2 * (i * i + k * k), 2 * (j * k + i * r)],
            [2 * (i * k + j * r), 2 * (j * k - i * r), 1 - 2 * (i * i + j * j)],
        ]
    )


def _fill(row: np.void, mdb: Any, header: Any, role: int) -> None:
    mdh = mdb.mdh
    for name, counter in COUNTERS.items():
        row[name] = getattr(mdh.Counter, counter)
    row["role"], row["center"], row["reversed"] = role, mdh.CenterCol, mdb.is_flag_set("REFLECT")
    row["discard_pre"], row["discard_post"] = mdh.CutOff.Pre, mdh.CutOff.Post
    row["dwell_us"] = dwell_us(header, int(mdh.Counter.Eco))
    place = mdh.SliceData.SlicePos
    row["position"] = place.Sag, place.Cor, place.Tra
    row["phase_dir"], row["read_dir"], row["slice_dir"] = _directions(mdh.SliceData.Quaternion)


def _lines(measurement: dict[str, Any]) -> Lines:
    """The readouts of one measurement, the skipped ones left out."""
    header, mdbs = measurement["hdr"], measurement["mdb"]
    epi = is_epi(header, any(m.is_flag_set("REFLECT") for m in mdbs))
    kept = [(m, role) for m in mdbs if (role := _role(m, epi=epi)) != SKIPPED]
    table = np.zeros(len(kept), dtype=LINE)
    samples = []
    if not kept:
        return Lines(table, ())
    with Path(kept[0][0].fid.name).open("rb") as file:
        for row, (mdb, role) in zip(table, kept, strict=True):
            _fill(row, mdb, header, role)
            mdb.fid = file  # else twixtools opens the file anew for every line
            samples.append(np.ascontiguousarray(mdb.data))
    return Lines(table, tuple(samples))


def _noise(earlier: list[dict[str, Any]]) -> tuple[NoiseScan | None, tuple[str, ...]]:
    """The noise readouts of the latest measurement that has any, and its coil labels."""
    for measurement in reversed(earlier):
        lines = _lines(measurement)
        noise = noise_of(lines)
        if noise is not None:
            return noise, coil_labels(measurement["hdr"], noise.samples.shape[0])
    return None, ()


def _with_earlier(scan: RawScan, earlier: list[dict[str, Any]]) -> RawScan:
    """`scan` with the noise of an earlier measurement of the file, where it has none and the coils are as many."""
    noise, labels = _noise(earlier) if scan.noise is None else (None, ())
    if noise is None:
        return scan
    if noise.samples.shape[0] == scan.n_coils:
        return with_noise(scan, noise, labels, "noise adjustment of the same file")
    text = f"the noise adjustment has {noise.samples.shape[0]} coils, the scan {scan.n_coils}: left out"
    return replace(scan, meta={**scan.meta, "warnings": [*scan.meta["warnings"], text]})


def load(path: Path) -> RawScan:
    """The last measurement of a twix file, receiver's units. Raises InputError for a damaged file and as `assemble`."""
    measurements = _read(path)
    if not measurements or not measurements[-1]["mdb"]:
        raise InputError("a twix file with readouts", f"none in {path.name}", "export the file again")
    try:
        lines, header = _lines(measurements[-1]), measurements[-1]["hdr"]
        imaging = lines.having(IMAGING)
        first = next((m.mdh for m in measurements[-1]["mdb"] if _role(m, epi=False) & IMAGING), None)
        if first is None or not len(imaging):
            todo = "give a scan with images; a noise scan goes to --noise-scan"
            raise InputError("imaging acquisitions", f"none in {path.name}", todo)
        space, said = space_of(header, lines, (int(first.CenterPar), int(first.CenterLin)))
        described = describe(header, space, lines.samples[imaging[0]].shape[0], said)
    except InputError:
        raise
    except DAMAGE as error:
        found = f"{path.name} whose protocol or readouts cannot be read ({type(error).__name__}: {error})"
        raise InputError("a whole twix file", found, "copy or export the file again") from error
    return _with_earlier(assemble(lines, described), measurements[:-1])


def load_noise(path: Path) -> tuple[NoiseScan | None, tuple[str, ...]]:
    """The noise readouts of a twix file, and its coil labels."""
    return _noise(_read(path))
