"""The XML header of MRD, by ismrmrd.xsd: read into a ScanHeader."""

import warnings
from typing import Any

from ismrmrd.xsd import ismrmrdHeader
from xsdata.exceptions import ConverterWarning
from xsdata.formats.dataclass.parsers import XmlParser
from xsdata.formats.dataclass.parsers.config import ParserConfig

from clearmr.errors import InputError
from clearmr.formats.lines import ScanHeader, Space
from clearmr.scan import Trapezoid

CARTESIAN = ("cartesian", "epi")
AVERAGE_NOISE = "clearmr_average_noise"  # user parameter: noise SD left by averaging before the file was written


def parse_xml(document: bytes) -> ismrmrdHeader:
    """The header as ismrmrd's own classes. Elements of newer schemas are passed over.

    Raises InputError where it is no XML, misses what the schema demands, or declares entities.
    """
    if b"<!DOCTYPE" in document or b"<!ENTITY" in document:
        raise InputError("a plain MRD header", "a document type declaration in the XML", "remove it from the header")
    parser = XmlParser(config=ParserConfig(fail_on_unknown_properties=False))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", ConverterWarning)
            header = parser.from_bytes(document, ismrmrdHeader)
    except (ValueError, TypeError, SyntaxError, LookupError, ConverterWarning) as error:
        raise InputError("an MRD header by ismrmrd.xsd", f"malformed XML ({error})", "export the scan again") from error
    if not header.encoding:
        raise InputError("an MRD header with an encoding", "none", "export the scan again")
    return header


def _zyx(size: Any) -> tuple[Any, Any, Any]:
    return size.z, size.y, size.x


def _matrix(size: Any) -> tuple[int, int, int]:
    matrix = _zyx(size)
    if min(matrix) < 1:
        raise InputError("matrix sizes of 1 or more", f"{matrix[::-1]} (x, y, z)", "correct the MRD header")
    return matrix


def _fov(space: Any, said: list[str]) -> tuple[float, float, float]:
    fov = _zyx(space.fieldOfView_mm)
    if min(fov) > 0:
        return fov
    said.append("the header has no field of view; voxels are taken as 1 mm")
    return tuple(float(f if f > 0 else n) for f, n in zip(fov, _zyx(space.matrixSize), strict=True))  # type: ignore[return-value]


def _center(limits: Any, axis: str) -> int | None:
    limit = getattr(limits, axis, None)
    return None if limit is None else int(limit.center)


def user_parameters(parameters: Any) -> dict[str, float]:
    """Numbers by name, of a `userParameters` or a `trajectoryDescription`."""
    if parameters is None:
        return {}
    both = [*parameters.userParameterLong, *parameters.userParameterDouble]
    return {p.name: float(p.value) for p in both}


def _ramp(encoding: Any) -> Trapezoid | None:
    """Ramp sampling as siemens_to_ismrmrd writes it; None where the description misses a part."""
    said = user_parameters(encoding.trajectoryDescription)
    try:
        return Trapezoid(
            ramp_up=said["rampUpTime"],
            flat_top=said["flatTopTime"],
            ramp_down=said["rampDownTime"],
            delay=said["acqDelayTime"],
            adc_duration=said["numSamples"] * said["dwellTime"],
        )
    except KeyError:
        return None


def _space(encoding: Any, said: list[str]) -> Space:
    trajectory = getattr(encoding.trajectory, "value", str(encoding.trajectory))
    parallel, limits = encoding.parallelImaging, encoding.encodingLimits
    factor = parallel.accelerationFactor if parallel else None
    mode = parallel.calibrationMode if parallel else None
    return Space(
        encoded_matrix=_matrix(encoding.encodedSpace.matrixSize),
        encoded_fov=_fov(encoding.encodedSpace, said),
        recon_matrix=_matrix(encoding.reconSpace.matrixSize),
        recon_fov=_fov(encoding.reconSpace, said),
        center=(_center(limits, "kspace_encoding_step_2"), _center(limits, "kspace_encoding_step_1")),
        acceleration=(factor.kspace_encoding_step_1, factor.kspace_encoding_step_2) if factor else (1, 1),
        calibration_mode=mode.value if mode else "",
        trajectory=trajectory,
        ramp=_ramp(encoding) if trajectory == "epi" else None,
    )


def check_trajectory(space: Space) -> None:
    """Raise InputError naming a trajectory that is not Cartesian."""
    if space.trajectory not in CARTESIAN:
        todo = "grid the data with a non-Cartesian tool first (BART, MRpro)"
        raise InputError("a Cartesian (or EPI) trajectory", f"trajectory '{space.trajectory}'", todo)


def read_header(document: bytes) -> ScanHeader:
    """What the assembler needs of an MRD header. Raises InputError where it is malformed."""
    xml = parse_xml(document)
    said: list[str] = []
    spaces = tuple(_space(e, said) for e in xml.encoding)
    system, measurement = xml.acquisitionSystemInformation, xml.measurementInformation
    labels = sorted(system.coilLabel, key=lambda label: label.coilNumber) if system else []
    meta = {
        "vendor": system.systemVendor if system else None,
        "model": system.systemModel if system else None,
        "field_T": system.systemFieldStrength_T if system else None,
        "protocol": measurement.protocolName if measurement else None,
        "noise_dependency": _noise_dependency(measurement),
    }
    return ScanHeader(
        spaces=spaces,
        coil_labels=tuple(label.coilName for label in labels),
        bandwidth_ratio=(system.relativeReceiverNoiseBandwidth if system else None) or None,
        average_noise=user_parameters(xml.userParameters).get(AVERAGE_NOISE, 1.0),
        meta={name: value for name, value in meta.items() if value is not None},
        warnings=tuple(dict.fromkeys(said)),
    )


def _noise_dependency(measurement: Any) -> str | None:
    """The measurement that holds this scan's noise lines, where the header names one."""
    for dependency in measurement.measurementDependency if measurement else []:
        if dependency.dependencyType.lower() == "noise":
            return dependency.measurementID
    return None
