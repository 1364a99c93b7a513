"""The XML header of MRD, by ismrmrd.xsd: written for a RawScan."""

from ismrmrd import xsd

from clearmr.formats.mrd_header import AVERAGE_NOISE
from clearmr.scan import RawScan, Trapezoid

HZ_PER_TESLA = 42.577478518e6  # proton


def _matrix(size: tuple[int, int, int]) -> xsd.matrixSizeType:
    return xsd.matrixSizeType(x=size[2], y=size[1], z=size[0])


def _space(matrix: tuple[int, int, int], fov: tuple[float, float, float]) -> xsd.encodingSpaceType:
    millimetres = xsd.fieldOfViewMm(x=float(fov[2]), y=float(fov[1]), z=float(fov[0]))
    return xsd.encodingSpaceType(matrixSize=_matrix(matrix), fieldOfView_mm=millimetres)


def _limit(count: int, center: int = 0) -> xsd.limitType:
    return xsd.limitType(minimum=0, maximum=count - 1, center=center)


def _limits(scan: RawScan) -> xsd.encodingLimitsType:
    nz, ny, nx = scan.encoding.encoded_matrix
    most = {name: max(getattr(f, name) for f in scan.frames) + 1 for name in ("contrast", "phase", "repetition", "set")}
    return xsd.encodingLimitsType(
        kspace_encoding_step_0=_limit(nx, nx // 2),
        kspace_encoding_step_1=_limit(ny, ny // 2),
        kspace_encoding_step_2=_limit(nz, nz // 2),
        slice=_limit(max(scan.slices) + 1),
        **{name: _limit(count) for name, count in most.items()},
    )


def _parallel(scan: RawScan, *, embedded: bool) -> xsd.parallelImagingType:
    mode = xsd.calibrationModeType.OTHER
    if scan.calibration is not None:
        # Lines between the lattice's own make it embedded even where none serves both ends.
        mode = xsd.calibrationModeType.EMBEDDED if embedded else xsd.calibrationModeType.SEPARATE
    elif len(scan.frames) > 1 and max(scan.encoding.acceleration) > 1:
        mode = xsd.calibrationModeType.INTERLEAVED
    r1, r2 = scan.encoding.acceleration
    factor = xsd.accelerationFactorType(kspace_encoding_step_1=r1, kspace_encoding_step_2=r2)
    return xsd.parallelImagingType(accelerationFactor=factor, calibrationMode=mode)


def _ramp(ramp: Trapezoid, samples: int) -> xsd.trajectoryDescriptionType:
    """Ramp sampling by the names siemens_to_ismrmrd uses: whole microseconds as Long, others as Double."""
    said = {
        "rampUpTime": ramp.ramp_up,
        "rampDownTime": ramp.ramp_down,
        "flatTopTime": ramp.flat_top,
        "acqDelayTime": ramp.delay,
        "numSamples": samples,
    }
    whole = [xsd.userParameterLongType(name=k, value=int(v)) for k, v in said.items() if v == int(v)]
    parts = [xsd.userParameterDoubleType(name=k, value=float(v)) for k, v in said.items() if v != int(v)]
    parts.append(xsd.userParameterDoubleType(name="dwellTime", value=ramp.adc_duration / samples))
    return xsd.trajectoryDescriptionType(
        identifier="ConventionalEPI", userParameterLong=whole, userParameterDouble=parts
    )


def _encoding(scan: RawScan, *, embedded: bool) -> xsd.encodingType:
    space = scan.encoding
    epi = scan.navigators is not None or scan.ramp is not None
    return xsd.encodingType(
        encodedSpace=_space(space.encoded_matrix, space.encoded_fov),
        reconSpace=_space(space.recon_matrix, space.recon_fov),
        encodingLimits=_limits(scan),
        trajectory=xsd.trajectoryType.EPI if epi else xsd.trajectoryType.CARTESIAN,
        trajectoryDescription=_ramp(scan.ramp, scan.kspace.shape[-1]) if scan.ramp else None,
        parallelImaging=_parallel(scan, embedded=embedded),
    )


def _system(scan: RawScan) -> xsd.acquisitionSystemInformationType:
    labels = [xsd.coilLabelType(coilNumber=n, coilName=name) for n, name in enumerate(scan.coil_labels)]
    return xsd.acquisitionSystemInformationType(
        systemVendor=scan.meta.get("vendor"),
        systemModel=scan.meta.get("model"),
        systemFieldStrength_T=scan.meta.get("field_T"),
        relativeReceiverNoiseBandwidth=scan.bandwidth_ratio,
        receiverChannels=scan.n_coils,
        coilLabel=labels,
    )


def header_xml(scan: RawScan, *, embedded: bool) -> bytes:
    """The header of `scan` as XML; `embedded`: some imaging lines also calibrate."""
    kept = [xsd.userParameterDoubleType(name=AVERAGE_NOISE, value=scan.average_noise)]
    header = xsd.ismrmrdHeader(
        acquisitionSystemInformation=_system(scan),
        experimentalConditions=xsd.experimentalConditionsType(
            H1resonanceFrequency_Hz=round((scan.meta.get("field_T") or 0.0) * HZ_PER_TESLA)
        ),
        encoding=[_encoding(scan, embedded=embedded)],
        userParameters=xsd.userParametersType(userParameterDouble=kept) if scan.average_noise != 1.0 else None,
    )
    return header.toXML(encoding="utf-8").encode()
