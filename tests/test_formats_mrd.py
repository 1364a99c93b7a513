"""MRD raw scans: what each flag and counter does to the RawScan."""

from pathlib import Path

import ismrmrd
import numpy as np
import pytest
import torch
from ismrmrd.serialization import ProtocolSerializer

from clearmr import formats
from clearmr.errors import InputError
from clearmr.scan import FrameIndex, RawScan, Trapezoid
from test_formats_build import (
    Line,
    encoding,
    full_scan,
    header,
    limit,
    parallel,
    random_lines,
    system,
    write,
)

NOISE = ismrmrd.ACQ_IS_NOISE_MEASUREMENT
CALIBRATION = ismrmrd.ACQ_IS_PARALLEL_CALIBRATION
BOTH = ismrmrd.ACQ_IS_PARALLEL_CALIBRATION_AND_IMAGING
REVERSE = ismrmrd.ACQ_IS_REVERSE
PHASECORR = ismrmrd.ACQ_IS_PHASECORR_DATA


def load_raw(path: Path, **options: Path) -> RawScan:
    scan = formats.load(path, **options)
    assert isinstance(scan, RawScan)
    return scan


def test_a_full_frame_is_placed_line_by_line(tmp_path: Path) -> None:
    lines = full_scan()
    scan = load_raw(write(tmp_path / "a.h5", lines, header(system=system(0.79))))
    assert scan.kspace.shape == (1, 2, 1, 12, 16) and scan.kspace.dtype == torch.complex64
    for line in lines:
        np.testing.assert_array_equal(scan.kspace[0, :, 0, line.k1].numpy(), line.data)
    assert scan.sampled.all() and scan.readout == (0, 16) and scan.dwell_us == 5.0
    assert scan.noise is None and scan.calibration is None and scan.bandwidth_ratio == pytest.approx(0.79)
    assert scan.encoding.acceleration == (1, 1) and scan.average_noise == 1.0
    assert scan.meta["format"] == "MRD" and len(scan.meta["sha256"]) == 64 and scan.meta["path"] == "a.h5"
    assert scan.meta["warnings"] == []


def test_partial_fourier_puts_the_centre_line_in_the_middle(tmp_path: Path) -> None:
    lines = full_scan()[:9]
    xml = header(encoding(limits=limit(1, 8, 3)))
    scan = load_raw(write(tmp_path / "a.h5", lines, xml))
    np.testing.assert_array_equal(scan.kspace[0, :, 0, 6].numpy(), lines[3].data)
    assert scan.sampled[0, 0].tolist() == [False] * 3 + [True] * 9


def test_a_centre_that_the_lines_cannot_have_is_told(tmp_path: Path) -> None:
    scan = load_raw(write(tmp_path / "a.h5", full_scan(), header(encoding(limits=limit(1, 11, 0)))))
    assert scan.sampled.all() and any("centre of k1" in w for w in scan.meta["warnings"])


def test_an_asymmetric_echo_is_placed_by_its_centre_sample_and_discards(tmp_path: Path) -> None:
    data = random_lines((2, 14))
    head = {"center_sample": 6, "discard_pre": 2, "discard_post": 1}
    lines = [Line(data, k1, head=head) for k1 in range(12)]
    scan = load_raw(write(tmp_path / "a.h5", lines))
    assert scan.readout == (4, 15)
    np.testing.assert_array_equal(scan.kspace[0, :, 0, 0, 4:15].numpy(), data[:, 2:13])
    assert not scan.kspace[..., :4].any() and not scan.kspace[..., 15:].any()


def test_readout_oversampling_is_kept_and_told_by_the_matrices(tmp_path: Path) -> None:
    xml = header(encoding(rx=8, rfx=16.0))
    scan = load_raw(write(tmp_path / "a.h5", full_scan(), xml))
    assert scan.kspace.shape[-1] == 16
    assert scan.encoding.recon_matrix == (1, 12, 8) and scan.encoding.encoded_fov[2] == 2 * scan.encoding.recon_fov[2]


def test_more_samples_than_the_header_says_widen_the_field_of_view(tmp_path: Path) -> None:
    scan = load_raw(write(tmp_path / "a.h5", full_scan(nx=32)))
    assert scan.kspace.shape[-1] == 32 and scan.encoding.encoded_fov[2] == 64.0
    assert any("readout samples" in w for w in scan.meta["warnings"])


def test_averages_are_averaged_line_by_line(tmp_path: Path) -> None:
    first, second = full_scan(seed=1), full_scan(seed=2)
    lines = first + [Line(x.data, x.k1, idx={"average": 1}) for x in second[:6]]
    scan = load_raw(write(tmp_path / "a.h5", lines))
    np.testing.assert_allclose(scan.kspace[0, :, 0, 2].numpy(), (first[2].data + second[2].data) / 2, rtol=1e-6)
    np.testing.assert_array_equal(scan.kspace[0, :, 0, 9].numpy(), first[9].data)
    assert scan.average_noise == pytest.approx(np.sqrt((6 * 0.5 + 6) / 12))


def test_frames_run_over_all_slices_first(tmp_path: Path) -> None:
    lines = []
    for repetition in range(2):
        for number in range(3):
            frame = full_scan(seed=10 * repetition + number)
            lines += [Line(x.data, x.k1, idx={"repetition": repetition, "slice": number}) for x in frame]
    scan = load_raw(write(tmp_path / "a.h5", lines))
    assert scan.frames == tuple(FrameIndex(slice=s, repetition=r) for r in range(2) for s in range(3))
    np.testing.assert_array_equal(scan.kspace[4, :, 0, 5].numpy(), full_scan(seed=11)[5].data)


def test_every_counter_makes_frames_and_segments_do_not(tmp_path: Path) -> None:
    lines = []
    for name in ("contrast", "phase", "repetition", "set"):
        lines += [Line(x.data, x.k1, idx={name: 1}) for x in full_scan(seed=3)]
    lines += [Line(x.data, x.k1, idx={"segment": x.k1 % 2}) for x in full_scan()]
    scan = load_raw(write(tmp_path / "a.h5", lines))
    assert set(scan.frames) == {FrameIndex()} | {
        FrameIndex(**{name: 1}) for name in ("contrast", "phase", "repetition", "set")
    }
    assert scan.sampled.all()


def sliced(positions: list[float]) -> list[Line]:
    lines = []
    for number, z in enumerate(positions):
        head = {"position": (1.0, 2.0, z), "read_dir": (1.0, 0, 0), "phase_dir": (0, 1.0, 0), "slice_dir": (0, 0, 1.0)}
        lines += [Line(x.data, x.k1, idx={"slice": number}, head=head) for x in full_scan(seed=number)]
    return lines


def test_slices_are_ordered_by_position_and_the_affine_knows_their_distance(tmp_path: Path) -> None:
    scan = load_raw(write(tmp_path / "a.h5", sliced([0.0, 14.0, 7.0])))
    assert scan.slices == (0, 1, 2) and scan.meta["slice_counters"] == [0, 2, 1]
    np.testing.assert_array_equal(scan.kspace[1, :, 0, 4].numpy(), full_scan(seed=2)[4].data)
    assert scan.affine is not None
    np.testing.assert_allclose(np.diag(scan.affine), [-2, -2, 7, 1])
    # The middle of the field of view is voxel n // 2: LPS (1, 2, 0) is RAS (-1, -2, 0).
    np.testing.assert_allclose(scan.affine @ [8, 6, 0, 1], [-1, -2, 0, 1], atol=1e-6)


def test_slices_that_are_not_parallel_keep_their_order_with_a_warning(tmp_path: Path) -> None:
    lines = sliced([0.0, 5.0])
    lines = [
        Line(x.data, x.k1, idx=x.idx, head={**x.head, "slice_dir": (0, 1.0, 0), "phase_dir": (0, 0, 1.0)})
        if x.idx["slice"]
        else x
        for x in lines
    ]
    scan = load_raw(write(tmp_path / "a.h5", lines))
    assert any("not parallel" in w for w in scan.meta["warnings"])


def test_noise_lines_are_joined_with_their_own_dwell_time(tmp_path: Path) -> None:
    noise = [Line(random_lines((2, 20), seed), flags=(NOISE,), head={"sample_time_us": 2.5}) for seed in (5, 6)]
    scan = load_raw(write(tmp_path / "a.h5", noise + full_scan()))
    assert scan.noise is not None and scan.noise.dwell_us == 2.5
    np.testing.assert_array_equal(scan.noise.samples.numpy(), np.concatenate([n.data for n in noise], axis=1))


def test_a_second_file_gives_the_noise_with_coils_matched_by_label(tmp_path: Path) -> None:
    noise = Line(random_lines((2, 20)), flags=(NOISE,))
    scan_path = write(tmp_path / "a.h5", full_scan(), header(system=system(labels=("A", "B"))))
    noise_path = write(tmp_path / "n.h5", [noise], header(system=system(labels=("B", "A"))))
    scan = load_raw(scan_path, noise_scan=noise_path)
    assert scan.noise is not None and scan.meta["noise_scan"] == "n.h5"
    np.testing.assert_array_equal(scan.noise.samples.numpy(), noise.data[::-1])
    unnamed = write(tmp_path / "u.h5", [noise])
    scan = load_raw(scan_path, noise_scan=unnamed)
    assert scan.noise is not None and any("labels" in w for w in scan.meta["warnings"])
    np.testing.assert_array_equal(scan.noise.samples.numpy(), noise.data)


def accelerated(r: int, offset: int = 0, acs: range = range(8, 16), ny: int = 24, **idx: int) -> list[Line]:
    """R-fold lattice with embedded, flagged calibration lines."""
    kspace = random_lines((ny, 2, 16))
    lines = []
    for k1 in range(ny):
        on = k1 % r == offset
        if on or k1 in acs:
            flags = ((BOTH,) if on else (CALIBRATION,)) if k1 in acs else ()
            lines.append(Line(kspace[k1], k1, flags=flags, idx=idx))
    return lines


@pytest.mark.parametrize("r", [2, 3, 4])
def test_embedded_calibration_and_the_acceleration_are_found(tmp_path: Path, r: int) -> None:
    scan = load_raw(write(tmp_path / "a.h5", accelerated(r), header(encoding(ny=24, parallel=parallel(r)))))
    assert scan.encoding.acceleration == (r, 1) and scan.meta["warnings"] == []
    assert scan.sampled[0, 0].nonzero().flatten().tolist() == list(range(0, 24, r))
    assert scan.calibration is not None and scan.calibration_sampled is not None
    assert scan.calibration_sampled[0, 0].nonzero().flatten().tolist() == list(range(8, 16))
    np.testing.assert_array_equal(scan.calibration[0, :, 0, 9].numpy(), random_lines((24, 2, 16))[9])
    assert not scan.kspace[0, :, 0, 9].any() or 9 % r == 0


def test_the_pattern_wins_over_the_header(tmp_path: Path) -> None:
    scan = load_raw(write(tmp_path / "a.h5", accelerated(3), header(encoding(ny=24, parallel=parallel(2)))))
    assert scan.encoding.acceleration == (3, 1)
    assert any("acceleration (2, 1)" in w for w in scan.meta["warnings"])


def test_separate_calibration_stays_out_of_the_image(tmp_path: Path) -> None:
    other = random_lines((24, 2, 16), 7)
    lines = [x for x in accelerated(2, acs=range(0)) if not x.flags]
    lines += [Line(other[k1], k1, flags=(CALIBRATION,)) for k1 in range(8, 16)]
    scan = load_raw(write(tmp_path / "a.h5", lines, header(encoding(ny=24, parallel=parallel(2, mode="separate")))))
    np.testing.assert_array_equal(scan.kspace[0, :, 0, 10].numpy(), random_lines((24, 2, 16))[10])
    assert scan.calibration is not None
    np.testing.assert_array_equal(scan.calibration[0, :, 0, 10].numpy(), other[10])


def test_calibration_of_a_second_encoding_lies_round_the_same_centre(tmp_path: Path) -> None:
    other = random_lines((8, 2, 16), 7)
    lines = [x for x in accelerated(2, acs=range(0))]
    lines += [Line(other[k], k, flags=(CALIBRATION,), head={"encoding_space_ref": 1}) for k in range(8)]
    small = encoding(ny=8, fy=48.0)
    scan = load_raw(write(tmp_path / "a.h5", lines, header(encoding(ny=24, parallel=parallel(2)), small)))
    assert scan.calibration is not None
    np.testing.assert_array_equal(scan.calibration[0, :, 0, 12].numpy(), other[4])
    coarse = header(encoding(ny=24, parallel=parallel(2)), encoding(ny=8, fy=20.0))
    scan = load_raw(write(tmp_path / "b.h5", lines, coarse))
    assert scan.calibration is None and any("encoding 1" in w for w in scan.meta["warnings"])


def test_lines_that_shift_from_frame_to_frame_keep_one_acceleration(tmp_path: Path) -> None:
    lines = [x for rep in range(4) for x in accelerated(4, offset=rep, acs=range(0), repetition=rep)]
    mode = parallel(4, mode="interleaved")
    scan = load_raw(write(tmp_path / "a.h5", lines, header(encoding(ny=24, parallel=mode))))
    assert scan.encoding.acceleration == (4, 1) and scan.calibration is None
    assert [scan.sampled[f, 0].nonzero()[0].item() for f in range(4)] == [0, 1, 2, 3]


def test_a_dense_centre_without_flags_is_calibration(tmp_path: Path) -> None:
    lines = [Line(x.data, x.k1) for x in accelerated(2)]
    scan = load_raw(write(tmp_path / "a.h5", lines, header(encoding(ny=24, parallel=parallel(2)))))
    assert scan.encoding.acceleration == (2, 1) and scan.calibration_sampled is not None
    assert set(range(8, 16)) <= set(scan.calibration_sampled[0, 0].nonzero().flatten().tolist())
    assert scan.sampled[0, 0].nonzero().flatten().tolist() == list(range(0, 24, 2))


@pytest.mark.parametrize(("r1", "r2", "shift"), [(2, 2, 0), (2, 2, 1), (1, 3, 1), (3, 1, 0), (2, 3, 2), (1, 4, 2)])
def test_the_lattice_of_3d_scans_with_caipi_shift(tmp_path: Path, r1: int, r2: int, shift: int) -> None:
    lines = []
    for k1 in range(12):
        for k2 in range(12):
            on = k1 % r1 == 0 and (k2 - shift * (k1 // r1)) % r2 == 0
            acs = abs(k1 - 6) < 3 and abs(k2 - 6) < 3
            if on or acs:
                flags = ((BOTH,) if on else (CALIBRATION,)) if acs else ()
                lines.append(Line(random_lines((1, 8), k1 * 12 + k2), k1, k2, flags))
    xml = header(encoding(8, 12, 12, parallel=parallel(r1, r2)))
    scan = load_raw(write(tmp_path / "a.h5", lines, xml))
    assert (*scan.encoding.acceleration, scan.encoding.caipi_shift) == (r1, r2, shift)
    assert scan.meta["warnings"] == []
    assert scan.calibration_sampled is not None and scan.calibration_sampled.sum() == 25
    np.testing.assert_array_equal(scan.kspace[0, :, 0, 0].numpy(), random_lines((1, 8), 0))


SKIPPED = [
    "NAVIGATION_DATA", "PHASECORR_DATA", "HPFEEDBACK_DATA", "DUMMYSCAN_DATA", "RTFEEDBACK_DATA",
    "SURFACECOILCORRECTIONSCAN_DATA", "PHASE_STABILIZATION_REFERENCE", "PHASE_STABILIZATION",
]  # fmt: skip


@pytest.mark.parametrize("name", SKIPPED)
def test_lines_that_are_no_image_are_left_out(tmp_path: Path, name: str) -> None:
    extra = Line(100 * random_lines((5, 40)), 3, flags=(getattr(ismrmrd, f"ACQ_IS_{name}"),))
    scan = load_raw(write(tmp_path / "a.h5", [extra, *full_scan()]))
    np.testing.assert_array_equal(scan.kspace[0, :, 0, 3].numpy(), full_scan()[3].data)
    assert scan.navigators is None and scan.average_noise == 1.0


RAMP = {"rampUpTime": 100, "rampDownTime": 100, "flatTopTime": 200, "acqDelayTime": 20, "numSamples": 16}


def test_epi_keeps_navigators_flips_reversed_lines_and_reads_the_ramp(tmp_path: Path) -> None:
    longs = "".join(
        f"<userParameterLong><name>{k}</name><value>{v}</value></userParameterLong>" for k, v in RAMP.items()
    )
    dwell = "<userParameterDouble><name>dwellTime</name><value>22.5</value></userParameterDouble>"
    said = f"<identifier>ConventionalEPI</identifier>{longs}{dwell}"
    description = f"<trajectoryDescription>{said}</trajectoryDescription>"
    lines = [Line(x.data, x.k1, flags=(REVERSE,) * (x.k1 % 2)) for x in full_scan()]
    feedback = ismrmrd.ACQ_IS_RTFEEDBACK_DATA
    navigators = [Line(random_lines((2, 16), 9 + n), 6, flags=(PHASECORR, feedback) + (REVERSE,) * n) for n in (0, 1)]
    xml = header(encoding(trajectory="epi", description=description))
    scan = load_raw(write(tmp_path / "a.h5", navigators + lines, xml))
    np.testing.assert_array_equal(scan.kspace[0, :, 0, 3].numpy(), lines[3].data[:, ::-1])
    np.testing.assert_array_equal(scan.kspace[0, :, 0, 4].numpy(), lines[4].data)
    assert scan.reversed_lines is not None
    assert scan.reversed_lines[0, 0].nonzero().flatten().tolist() == list(range(1, 12, 2))
    assert scan.navigators is not None and scan.navigator_reversed is not None
    assert scan.navigator_reversed.tolist() == [False, True]
    np.testing.assert_array_equal(scan.navigators[1].numpy(), navigators[1].data[:, ::-1])
    assert scan.ramp == Trapezoid(100.0, 200.0, 100.0, 20.0, 360.0)


def test_zero_dwell_time_is_no_error(tmp_path: Path) -> None:
    lines = [Line(x.data, x.k1, head={"sample_time_us": 0.0}) for x in full_scan()]
    assert load_raw(write(tmp_path / "a.h5", lines)).dwell_us == 0.0


def write_stream(path: Path, lines: list[Line], *, config: bool = False) -> Path:
    from ismrmrd.serialization import ConfigFile

    with ProtocolSerializer(str(path)) as stream:
        if config:
            stream.serialize(ConfigFile("default.xml"))
        stream.serialize(ismrmrd.xsd.CreateFromDocument(header()))
        for line in lines:
            stream.serialize(line.acquisition())
    return path


@pytest.mark.parametrize("config", [False, True])
def test_a_stream_is_known_by_content_even_when_named_h5(tmp_path: Path, config: bool) -> None:
    lines = [Line(random_lines((2, 20)), flags=(NOISE,)), *full_scan()]
    stream = load_raw(write_stream(tmp_path / "stream.h5", lines, config=config))
    file = load_raw(write(tmp_path / "file.dat", lines))
    assert torch.equal(stream.kspace, file.kspace) and stream.noise is not None and file.noise is not None
    assert torch.equal(stream.noise.samples, file.noise.samples)


def test_a_stream_that_breaks_off_is_refused(tmp_path: Path) -> None:
    path = write_stream(tmp_path / "a.mrd", full_scan())
    whole = path.read_bytes()
    for size in (len(whole) - 2, len(whole) - 100, 500):
        path.write_bytes(whole[:size])
        with pytest.raises(InputError, match="breaks off"):
            formats.load(path)
