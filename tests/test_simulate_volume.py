"""Scans of given images, retrospective undersampling with added noise, and heads that differ from seed to seed."""

import dataclasses
import json
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch

from clearmr import formats, recon
from clearmr.errors import InputError
from clearmr.fourier import crop_or_pad, to_image
from clearmr.scan import SnrImage
from clearmr.simulate import ADDED_NOISE, SCENES, brain_tissues, noise_ladder, scan_of, simulate, undersampled
from clearmr.simulate.receiver import noise_covariance
from clearmr.simulate.retrospective import imaging_covariance
from cli_runs import done, refused

FOV = (60.0, 96.0, 80.0)
MATRIX = (24, 48, 40)


def head(*, seed: int = 0, **options) -> torch.Tensor:
    return SCENES[2].draw(MATRIX, seed=seed, **options)


def full_scan(**options):
    return scan_of(head(), fov=FOV, **{"n_coils": 6, "snr": 40.0, "seed": 3, **options})


def test_a_scene_is_a_scan_of_what_it_draws():
    scene = simulate("brain", matrix=MATRIX, n_coils=5, acceleration=(2, 2), acs=8, snr=30.0, seed=4)
    given = scan_of(head(seed=4), fov=SCENES[2].fov, n_coils=5, acceleration=(2, 2), acs=8, snr=30.0, seed=4)
    assert torch.equal(scene.scan.kspace, given.scan.kspace) and torch.equal(scene.snr, given.snr)
    assert scene.scan.encoding == given.scan.encoding


def test_without_noise_a_full_scan_gives_the_volume_back_in_its_place():
    affine = np.array([[0.0, 0, 2.5, -30], [-2, 0, 0, 40], [0, 2, 0, -48], [0, 0, 0, 1]])
    made = scan_of(7 * head(), fov=FOV, n_coils=4, noise_sd=0.0, affine=affine, name="mine")
    images = crop_or_pad(to_image(made.scan.kspace, (-3, -2, -1)), MATRIX[2], -1)
    torch.testing.assert_close(images, head()[:, None] * made.csm, atol=1e-5, rtol=0)
    assert made.scan.encoding.recon_fov == FOV and "mine" in made.scan.meta["protocol"]
    np.testing.assert_array_equal(made.scan.affine, affine)


def test_a_magnitude_gets_the_smooth_phase_of_its_seed():
    magnitude = torch.rand(2, *MATRIX) * 900
    first, again, other = (scan_of(magnitude, fov=FOV, n_coils=2, seed=s).truth for s in (1, 1, 2))
    torch.testing.assert_close(first.abs(), magnitude / magnitude.max(), atol=1e-6, rtol=1e-5)
    assert torch.equal(first, again) and not torch.allclose(first, other, atol=0.05)
    steps = first[..., 1:] * first[..., :-1].conj()
    assert steps[steps.abs() > 1e-3].angle().abs().max() < 0.25, "from voxel to voxel the phase hardly moves"


def test_the_mean_snr_is_the_asked_one():
    made = full_scan(snr=25.0)
    assert made.snr[made.truth.abs() > 0.02].mean() == pytest.approx(25, rel=1e-4)


@pytest.mark.parametrize(
    "volume, options",
    [
        (torch.zeros(1, *MATRIX), {}),
        (torch.full((1, *MATRIX), torch.nan), {}),
        (torch.ones(1, 1, 8, 8), {}),
        (torch.ones(1, *MATRIX), {"fov": (0.0, 1.0, 1.0)}),
        (torch.ones(1, *MATRIX), {"n_coils": 0}),
    ],
)
def test_what_cannot_be_scanned_is_refused_in_one_line(volume, options):
    with pytest.raises(InputError) as told:
        scan_of(volume, **{"fov": FOV, **options})
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("acs", [12, (16, 6)])
def test_undersampling_keeps_the_lattice_and_the_calibration_lines_as_measured(acs):
    scan = full_scan().scan
    made = undersampled(scan, acceleration=(2, 1), acs=acs)
    wanted = torch.zeros(24, 48, dtype=torch.bool)
    wanted[:, 0::2] = True
    assert torch.equal(made.sampled[0], wanted)
    assert torch.equal(made.kspace[0][:, wanted], scan.kspace[0][:, wanted])
    assert not made.kspace[0][:, ~wanted].any()
    n1, n2 = (acs, acs) if isinstance(acs, int) else acs
    block = torch.zeros(24, 48, dtype=torch.bool)
    block[12 - n2 // 2 : 12 + n2 // 2, 24 - n1 // 2 : 24 + n1 // 2] = True
    assert torch.equal(made.calibration_sampled[0], block)
    assert torch.equal(made.calibration[0][:, block], scan.kspace[0][:, block])
    assert not made.calibration[0][:, ~block].any()
    assert made.encoding.acceleration == (2, 1) and torch.equal(made.noise.samples, scan.noise.samples)


def test_undersampling_a_scan_equals_scanning_with_fewer_lines():
    fewer = full_scan(noise_sd=0.0, snr=None, acceleration=(2, 2), acs=10).scan
    made = undersampled(full_scan(noise_sd=0.0, snr=None).scan, acceleration=(2, 2), acs=10)
    for name in ("kspace", "sampled", "calibration", "calibration_sampled"):
        torch.testing.assert_close(getattr(made, name), getattr(fewer, name))
    assert made.encoding == fewer.encoding


def test_the_covariance_read_from_the_noise_lines_is_that_of_the_imaging_noise():
    made = full_scan()
    found = imaging_covariance(made.scan)
    assert (found - made.noise_cov).abs().max() < 0.03 * made.noise_cov.abs().max()
    averaged = dataclasses.replace(made.scan, average_noise=0.5)
    torch.testing.assert_close(imaging_covariance(averaged), found / 4)


@pytest.mark.parametrize("added", [1.0, 3.0])
def test_added_noise_has_the_asked_sd_and_the_coils_covariance(added):
    made = full_scan()
    more = undersampled(made.scan, added_noise=added, seed=1)
    lines = more.sampled[0]
    extra = (more.kspace - made.scan.kspace)[0][:, lines].reshape(6, -1).to(torch.complex128)
    cov = extra @ extra.mH / extra.shape[1]
    assert (cov - added**2 * made.noise_cov).abs().max() < 0.04 * added**2 * made.noise_cov.abs().max()
    torch.testing.assert_close(more.noise.samples, made.scan.noise.samples * (1 + added**2) ** 0.5)
    shared = lines & more.calibration_sampled[0]
    assert torch.equal(more.calibration[0][:, shared], more.kspace[0][:, shared])


def test_the_image_of_a_noisier_scan_has_the_noise_it_says():
    """Two scans of the same object: other receiver noise, other added noise; their difference over sqrt(2)."""
    added = 1.5
    truth = head()
    scans = []
    for seed in (11, 12):
        made = scan_of(truth, fov=FOV, n_coils=6, noise_sd=0.0, seed=3)
        generator = torch.Generator().manual_seed(3)
        cov = noise_covariance(made.csm, noise_sd=0.01, generator=generator)
        scans.append(undersampled(_noisy(made.scan, cov, seed), acs=16, added_noise=added, seed=seed))
    calibration = recon.calibrate(scans[0])
    images = [recon.apply(scan, calibration) for scan in scans]
    z = (images[0].image - images[1].image) / 2**0.5 / images[0].noise_sd
    z = z[torch.isfinite(z)]
    assert z.real.std() == pytest.approx(1, rel=0.03) and z.imag.std() == pytest.approx(1, rel=0.03)


def _noisy(scan, cov, seed):
    """Receiver noise of covariance `cov` in a silent scan, and the noise lines that tell it."""
    from clearmr.simulate.receiver import Receiver, add_noise, noise_scan

    generator = torch.Generator().manual_seed(seed)
    kspace = add_noise(scan.kspace, scan.sampled[:, None, :, :, None], cov, generator)
    return dataclasses.replace(scan, kspace=kspace, noise=noise_scan(cov, Receiver(), scan.kspace.shape[-1], generator))


def test_the_ladder_has_seven_levels_whose_noise_is_their_own():
    scan = full_scan().scan
    rungs = list(noise_ladder(scan, acs=16, seed=2))
    assert [level for level, _ in rungs] == list(ADDED_NOISE) == [0, 0.5, 1, 1.5, 2, 2.5, 3]
    kept = rungs[0][1].sampled[0]
    assert torch.equal(rungs[0][1].kspace[0][:, kept], scan.kspace[0][:, kept])
    one, two = ((rungs[i][1].kspace - rungs[0][1].kspace)[0][:, kept].flatten() / rungs[i][0] for i in (2, 4))
    assert abs(torch.vdot(one, two)) / (one.norm() * two.norm()) < 0.02
    assert one.norm() == pytest.approx(two.norm().item(), rel=0.02)
    again = list(noise_ladder(scan, levels=(3.0,), acs=16, seed=2))
    assert not torch.equal(again[0][1].kspace, scan.kspace)


def test_noise_of_several_frames_differs_and_a_short_echo_stays_short():
    scan = scan_of(torch.rand(2, 1, 32, 24), fov=(5.0, 32.0, 24.0), n_coils=3, echo_fraction=0.75).scan
    made = undersampled(scan, acceleration=2, acs=8, added_noise=2.0)
    assert not made.kspace[..., : scan.readout[0]].any()
    extra = (made.kspace - scan.kspace)[:, :, made.sampled[0]]
    assert not torch.isclose(extra[0], extra[1]).all()


def test_undersampling_what_is_undersampled_epi_or_of_unknown_noise_is_refused():
    scan = full_scan().scan
    half = full_scan(acceleration=2).scan
    quiet = dataclasses.replace(scan, noise=None)
    epi = dataclasses.replace(scan, reversed_lines=torch.zeros_like(scan.sampled))
    for bad, options in (
        (half, {}),
        (undersampled(scan), {}),
        (epi, {}),
        (quiet, {"added_noise": 1.0}),
        (scan, {"added_noise": -1.0}),
        (scan, {"acceleration": (0, 1)}),
    ):
        with pytest.raises(InputError) as told:
            undersampled(bad, **options)
        assert "\n" not in str(told.value)
    assert undersampled(quiet).noise is None
    given = undersampled(quiet, added_noise=1.0, covariance=imaging_covariance(scan))
    assert not torch.equal(given.kspace[:, :, given.sampled[0]], scan.kspace[:, :, given.sampled[0]])


def test_with_variety_seeds_are_people():
    volumes = [brain_tissues((32, 64, 64), seed=s, variety=1.0).sum((1, 2, 3)) for s in range(6)]
    csf, grey, white = torch.stack(volumes).T
    for tissue in (csf, grey, white):
        assert 0.02 < float(tissue.std() / tissue.mean()) < 0.4
    same = [brain_tissues((32, 64, 64), seed=s).sum((1, 2, 3)) for s in range(3)]
    assert float(torch.stack(same)[:, 2].std() / torch.stack(same)[:, 2].mean()) < float(white.std() / white.mean())
    corner = [head(seed=s, variety=1.0)[..., 0, 0].abs().max() for s in range(6)]
    assert max(corner) < 0.02, "heads stay inside the field of view"
    assert torch.equal(head(seed=1, variety=1.0), head(seed=1, variety=1.0))


def test_tissue_fractions_are_those_of_the_picture():
    fractions = brain_tissues(MATRIX, seed=2)
    assert fractions.min() >= 0 and fractions.max() <= 1 and fractions.shape == (3, *MATRIX)
    image = head(seed=2).abs()[0]
    means = [float(image[part > 0.95].mean()) for part in fractions]
    assert means[0] < 0.6 * means[1] and means[1] < 0.85 * means[2]


@pytest.mark.parametrize("contrast, order", [("t1", (0, 1, 2)), ("t2", (2, 1, 0)), ("black-blood", (0, 1, 2))])
def test_contrasts_order_the_tissues(contrast, order):
    fractions = brain_tissues(MATRIX, seed=2)
    image = simulate("brain", matrix=MATRIX, contrast=contrast, seed=2, n_coils=2).truth.abs()[0]
    means = [float(image[part > 0.95].mean()) for part in fractions]
    assert [means[i] for i in order] == sorted(means)


def test_only_the_brain_varies():
    for options in ({"variety": 0.5}, {"contrast": "t2"}):
        with pytest.raises(InputError):
            simulate("cine", matrix=(1, 32, 32), **options)
    for options in ({"variety": -1.0}, {"contrast": "pd"}):
        with pytest.raises(InputError):
            simulate("brain", matrix=MATRIX, **options)


def nifti(path: Path) -> np.ndarray:
    """A NIfTI (x, y, z) of a head with an oblique affine of mirrored x; the affine."""
    turn = np.array([[np.cos(0.2), -np.sin(0.2), 0], [np.sin(0.2), np.cos(0.2), 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag([-2.0, 2.0, 2.5])
    affine[:3, 3] = (38, -50, -20)
    nibabel.Nifti1Image((head().abs()[0].numpy().T * 500).astype(np.int16), affine).to_filename(path)
    return affine


def test_the_command_scans_a_nifti_and_the_image_lies_where_it_lay(tmp_path: Path):
    affine = nifti(tmp_path / "t1.nii.gz")
    raw, truth = tmp_path / "raw.h5", tmp_path / "truth.npz"
    options = ("--coils", "6", "--acceleration", "2x1", "--acs", "16", "--snr", "60", "--truth", truth)
    done("simulate", tmp_path / "t1.nii.gz", "-o", raw, *options)
    image = recon.reconstruct(formats.load(raw))
    np.testing.assert_allclose(image.affine, affine, atol=0.02)
    np.testing.assert_allclose(image.spacing, (2.5, 2, 2), rtol=1e-4)
    known = formats.load(truth).image.abs()[0].flatten()
    found = image.image.abs()[0].flatten()
    assert torch.corrcoef(torch.stack([known, found]))[0, 1] > 0.97
    meta = json.loads(json.dumps(formats.load(truth).meta))
    assert meta["provenance"]["input"] == [str(tmp_path / "t1.nii.gz")]


def test_the_command_scans_npz_of_several_frames_and_a_person_in_t2(tmp_path: Path):
    one = torch.ones(1, 1, 1, 1)
    series = SnrImage(torch.rand(3, 1, 24, 20).to(torch.complex64), one, one, "given", spacing=(5.0, 2.0, 2.0))
    formats.save(series, tmp_path / "series.npz")
    done("simulate", tmp_path / "series.npz", "-o", tmp_path / "a.h5", "--coils", "2")
    scan = formats.load(tmp_path / "a.h5")
    assert scan.kspace.shape == (3, 2, 1, 24, 40) and scan.encoding.recon_fov == (5, 48, 40)
    for name, more in (("b", ()), ("c", ("--variety", "1", "--contrast", "t2"))):
        done("simulate", "brain", "-o", tmp_path / f"{name}.h5", "--coils", "2", "--matrix", "24", *more)
    b, c = (formats.load(tmp_path / f"{name}.h5").kspace for name in "bc")
    assert b.shape == c.shape and not torch.allclose(b, c, atol=0.1)


@pytest.mark.parametrize(
    "args, said",
    [
        (("no.nii.gz",), "no.nii.gz"),
        (("{f}/t1.nii.gz", "--matrix", "32"), "--matrix"),
        (("{f}/t1.nii.gz", "--frames", "2"), "--frames"),
        (("{f}/t1.nii.gz", "--variety", "1"), "--variety"),
        (("{f}/t1.nii.gz", "--contrast", "t2"), "--contrast"),
        (("{f}/t1.nii.gz", "--snr", "-1"), "snr"),
        (("{f}/raw.h5",), "raw data"),
        (("cine", "--variety", "1"), "variety"),
        (("brain", "--contrast", "pd"), "t2"),
        (("brain", "--variety", "9"), "variety"),
    ],
)
def test_the_command_refuses(tmp_path: Path, args, said):
    nifti(tmp_path / "t1.nii.gz")
    formats.save_raw(simulate("phantom", matrix=(1, 16, 16), n_coils=1).scan, tmp_path / "raw.h5")
    given = [a.format(f=tmp_path) for a in args]
    assert said in refused(tmp_path, "simulate", *given, "-o", tmp_path / "o.h5")


def test_the_truth_is_never_written_into():
    volume = torch.rand(1, *MATRIX)
    kept = volume.clone()
    scan = scan_of(volume, fov=FOV, n_coils=2).scan
    lines = scan.kspace.clone()
    undersampled(scan, added_noise=1.0)
    assert torch.equal(volume, kept) and torch.equal(scan.kspace, lines)
