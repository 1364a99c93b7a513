"""Small MRD files, built with the ismrmrd package, for the other tests of formats."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import ismrmrd
import numpy as np

HEADER = """<?xml version="1.0"?>
<ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD">
{system}
<experimentalConditions><H1resonanceFrequency_Hz>63500000</H1resonanceFrequency_Hz></experimentalConditions>
{encodings}
</ismrmrdHeader>"""

ENCODING = """<encoding>
<encodedSpace><matrixSize><x>{nx}</x><y>{ny}</y><z>{nz}</z></matrixSize>
<fieldOfView_mm><x>{fx}</x><y>{fy}</y><z>{fz}</z></fieldOfView_mm></encodedSpace>
<reconSpace><matrixSize><x>{rx}</x><y>{ny}</y><z>{nz}</z></matrixSize>
<fieldOfView_mm><x>{rfx}</x><y>{fy}</y><z>{fz}</z></fieldOfView_mm></reconSpace>
<encodingLimits>{limits}</encodingLimits>
<trajectory>{trajectory}</trajectory>
{description}
{parallel}
</encoding>"""


def limit(axis: int, maximum: int, center: int) -> str:
    name = f"kspace_encoding_step_{axis}"
    return f"<{name}><minimum>0</minimum><maximum>{maximum}</maximum><center>{center}</center></{name}>"


def parallel(r1: int, r2: int = 1, mode: str = "embedded") -> str:
    steps = (
        f"<kspace_encoding_step_1>{r1}</kspace_encoding_step_1><kspace_encoding_step_2>{r2}</kspace_encoding_step_2>"
    )
    factor = f"<accelerationFactor>{steps}</accelerationFactor>"
    return f"<parallelImaging>{factor}<calibrationMode>{mode}</calibrationMode></parallelImaging>"


def encoding(nx: int = 16, ny: int = 12, nz: int = 1, **given: Any) -> str:
    said = {
        "nx": nx, "ny": ny, "nz": nz, "fx": 2.0 * nx, "fy": 2.0 * ny, "fz": 5.0 * nz, "rx": nx, "rfx": 2.0 * nx,
        "limits": limit(1, ny - 1, ny // 2) + limit(2, nz - 1, nz // 2),
        "trajectory": "cartesian", "description": "", "parallel": "",
    }  # fmt: skip
    return ENCODING.format(**{**said, **given})


def header(*encodings: str, system: str = "") -> str:
    return HEADER.format(system=system, encodings="".join(encodings or (encoding(),)))


def system(ratio: float | None = None, labels: tuple[str, ...] = ()) -> str:
    said = "" if ratio is None else f"<relativeReceiverNoiseBandwidth>{ratio}</relativeReceiverNoiseBandwidth>"
    for n, name in enumerate(labels):
        said += f"<coilLabel><coilNumber>{n}</coilNumber><coilName>{name}</coilName></coilLabel>"
    return f"<acquisitionSystemInformation>{said}</acquisitionSystemInformation>"


@dataclass(frozen=True)
class Line:
    """One acquisition: samples (coil, sample), ismrmrd flag numbers, header fields and counters."""

    data: np.ndarray
    k1: int = 0
    k2: int = 0
    flags: tuple[int, ...] = ()
    idx: dict[str, int] = field(default_factory=dict)
    head: dict[str, Any] = field(default_factory=dict)

    def acquisition(self) -> ismrmrd.Acquisition:
        found = ismrmrd.Acquisition.from_array(np.ascontiguousarray(self.data, dtype=np.complex64))
        found.center_sample = self.data.shape[1] // 2
        found.sample_time_us = 5.0
        found.idx.kspace_encode_step_1, found.idx.kspace_encode_step_2 = self.k1, self.k2
        for name, value in self.idx.items():
            setattr(found.idx, name, value)
        for name, value in self.head.items():
            setattr(found, name, value)
        for flag in self.flags:
            found.set_flag(flag)
        return found


def random_lines(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(np.complex64)


def full_scan(coils: int = 2, ny: int = 12, nx: int = 16, seed: int = 0) -> list[Line]:
    """A fully sampled 2D frame."""
    kspace = random_lines((ny, coils, nx), seed)
    return [Line(kspace[k1], k1) for k1 in range(ny)]


def write(path: Path, lines: list[Line], xml: str | None = None) -> Path:
    with ismrmrd.Dataset(str(path), mode="w") as dataset:
        dataset.write_xml_header((xml or header()).encode())
        for line in lines:
            dataset.append_acquisition(line.acquisition())
    return path


def test_the_ismrmrd_package_reads_what_the_builder_wrote(tmp_path: Path) -> None:
    path = write(tmp_path / "a.h5", full_scan())
    with h5py.File(path, "r") as file:
        assert file["dataset/data"].shape == (12,)
    with ismrmrd.Dataset(str(path), mode="r") as dataset:
        assert dataset.read_acquisition(3).idx.kspace_encode_step_1 == 3
