"""Tensors: fitted back exactly, errors that are known by hand, white matter, sharpness; and `evaluate --dti`."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import ndimage

import cli_runs
from clearmr import evaluate, formats
from clearmr.errors import InputError
from clearmr.evaluate import diffusion
from clearmr.evaluate.diffusion import DtiMaps
from clearmr.formats.gradients_write import save_gradients
from clearmr.scan import SnrImage
from clearmr.simulate import Protocol, dwi_head, rician_noise

pytest.importorskip("dipy")
PROTOCOL = Protocol(directions=12)
BVALS, BVECS = PROTOCOL.bvals.numpy(), PROTOCOL.bvecs.numpy()
HEAD = dwi_head((20, 28, 28), PROTOCOL)
TRUTH = diffusion.of_tensor(HEAD.tensor.double().numpy(), HEAD.s0.double().numpy())
ONE = torch.ones(1, 1, 1, 1)


def tensor_of(values: tuple[float, float, float], axis: np.ndarray) -> np.ndarray:
    """(6, 1, 1, 1), its first eigenvector along `axis`."""
    q, _ = np.linalg.qr(np.stack([axis, [0.3, 0.9, 0.1], [0.1, -0.2, 0.9]], axis=1))
    d = q @ np.diag(values) @ q.T
    return np.array([d[0, 0], d[0, 1], d[1, 1], d[0, 2], d[1, 2], d[2, 2]])[:, None, None, None]


def test_maps_of_a_tensor_known_by_hand() -> None:
    axis = np.array([0.48, 0.6, 0.64])
    maps = diffusion.of_tensor(tensor_of((1.7e-3, 0.4e-3, 0.2e-3), axis), np.full((1, 1, 1), 5.0))
    spread = (1.7 - 2.3 / 3) ** 2 + (0.4 - 2.3 / 3) ** 2 + (0.2 - 2.3 / 3) ** 2
    assert maps.fa.item() == pytest.approx((1.5 * spread / (1.7**2 + 0.4**2 + 0.2**2)) ** 0.5)
    assert maps.md.item() == pytest.approx(2.3e-3 / 3)
    assert abs(maps.v1[:, 0, 0, 0] @ axis) == pytest.approx(1)
    signal = diffusion.synthesised(maps, np.array([0.0, 700.0]), np.array([[0, 0, 0], axis]))
    assert signal.ravel() == pytest.approx([5.0, 5.0 * np.exp(-0.7 * 1.7)])


def test_a_fit_gives_back_the_tensors_of_noise_free_images_and_their_signal() -> None:
    inside = HEAD.brain.numpy()
    maps = evaluate.fit_dti(HEAD.image, BVALS, BVECS, inside)
    for name, tolerance in (("fa", 1e-4), ("md", 1e-7), ("s0", 1e-5), ("tensor", 1e-7)):
        found, known = getattr(maps, name), getattr(TRUTH, name)
        assert np.abs((found - known)[..., inside]).max() < tolerance, name
        assert not found[..., ~inside].any()
    errors = evaluate.dti_errors(TRUTH, maps, evaluate.white_matter(TRUTH, inside))
    assert errors["v1_error"] < 0.1 and errors["fa_error"] < 1e-4 and errors["md_error"] < 1e-7
    again = evaluate.synthesised(maps, BVALS, BVECS)
    assert np.abs(again - HEAD.image.numpy())[:, inside].max() < 1e-5


def test_the_fit_is_the_weighted_one() -> None:
    noisy = rician_noise(HEAD.image, 0.03, torch.Generator().manual_seed(0)).image.numpy().astype(float)
    place = np.argwhere(evaluate.white_matter(TRUTH, HEAD.brain))[7]
    signal = np.log(np.maximum(noisy[(slice(None), *place)], 1e-9))
    design = np.column_stack([diffusion.design_of(BVALS, BVECS), np.ones(len(BVALS))])
    plain = np.linalg.lstsq(design, signal, rcond=None)[0]
    root = np.exp(design @ plain)[:, None]
    weighted = np.linalg.lstsq(design * root, signal * root[:, 0], rcond=None)[0]
    mask = np.zeros(noisy.shape[1:], bool)
    mask[tuple(place)] = True
    found = evaluate.fit_dti(noisy, BVALS, BVECS, mask).tensor[(slice(None), *place)]
    assert found == pytest.approx(weighted[:6], rel=1e-5)
    assert np.abs(found - plain[:6]).max() > 1e-6


def test_errors_known_by_hand() -> None:
    axis = np.array([0.0, 0.0, 1.0])
    turned = np.array([0.0, np.sin(np.radians(20)), -np.cos(np.radians(20))])  # and of the other sign
    a, b = (diffusion.of_tensor(tensor_of((1.5e-3, 3e-4, 3e-4), v), np.ones((1, 1, 1))) for v in (axis, turned))
    b = dataclasses.replace(b, fa=b.fa - 0.1, md=b.md + 2e-4)
    errors = evaluate.dti_errors(a, b, np.ones((1, 1, 1)))
    assert errors["v1_error"] == pytest.approx(20)
    assert (errors["fa_error"], errors["fa_bias"]) == pytest.approx((0.1, -0.1))
    assert (errors["md_error"], errors["md_bias"], errors["voxels"]) == pytest.approx((2e-4, 2e-4, 1))


def test_errors_count_inside_the_mask_only() -> None:
    wrong = dataclasses.replace(TRUTH, fa=TRUTH.fa + (np.arange(28) < 14) * 0.2)
    left = np.broadcast_to(np.arange(28) < 14, TRUTH.fa.shape)
    assert evaluate.dti_errors(TRUTH, wrong, left)["fa_error"] == pytest.approx(0.2)
    assert evaluate.dti_errors(TRUTH, wrong, ~left)["fa_error"] == 0


def test_white_matter_is_where_the_simulation_put_it() -> None:
    from clearmr.simulate import brain_tissues

    fractions = brain_tissues((20, 28, 28))
    white = evaluate.white_matter(TRUTH, HEAD.brain)
    assert white.sum() > 500
    assert fractions[2].numpy()[white].mean() > 0.8
    assert not white[~HEAD.brain.numpy()].any()
    flat = dataclasses.replace(TRUTH, fa=0 * TRUTH.fa)
    with pytest.raises(InputError, match="white matter"):
        evaluate.white_matter(flat)


def test_noise_makes_errors_and_more_noise_more() -> None:
    white, errors = evaluate.white_matter(TRUTH, HEAD.brain), []
    for level in (0.01, 0.03):
        noisy = rician_noise(HEAD.image, level, torch.Generator().manual_seed(1))
        errors.append(evaluate.dti_errors(TRUTH, evaluate.fit_dti(noisy.image, BVALS, BVECS, HEAD.brain), white))
    for name in ("fa_error", "md_error", "v1_error"):
        assert 0 < 2 * errors[0][name] < errors[1][name]


@pytest.mark.parametrize(
    ("bvals", "bvecs", "said"),
    [
        (BVALS[:-1], BVECS, "one b value"),
        (BVALS, BVECS.T, "one b value"),
        (BVALS, 2 * BVECS, "length 1"),
        (
            np.full_like(BVALS, 1000.0),
            np.roll(BVECS, 1, 0) + (BVECS == 0).all(1)[:, None] * BVECS[1],
            "others|unweighted",
        ),
        (BVALS, np.where((BVALS > 0)[:, None], [1.0, 0, 0], 0), "spanning 1 of 6"),
        (-BVALS, BVECS, "others"),
    ],
)
def test_gradients_that_do_not_fit_are_refused(bvals: np.ndarray, bvecs: np.ndarray, said: str) -> None:
    with pytest.raises(InputError, match=said):
        evaluate.fit_dti(HEAD.image, bvals, bvecs)


def test_images_that_are_none_are_refused() -> None:
    with pytest.raises(InputError, match="volume, z, y, x"):
        evaluate.fit_dti(HEAD.image[0], BVALS, BVECS)
    with pytest.raises(InputError, match="finite"):
        evaluate.fit_dti(HEAD.image / 0, BVALS, BVECS)
    with pytest.raises(InputError, match="empty"):
        evaluate.fit_dti(HEAD.image, BVALS, BVECS, np.zeros(HEAD.brain.shape))
    small = DtiMaps(*(np.zeros((*lead, 2, 2, 2)) for lead in ((), (), (3,), (), (6,))))
    with pytest.raises(InputError, match="shape"):
        evaluate.dti_errors(TRUTH, small, HEAD.brain)


def test_sharpness_tells_blur_from_noise() -> None:
    clean = HEAD.image[0].numpy().astype(float)
    same = evaluate.sharpness(clean, clean)
    assert same == {"gradient_energy": pytest.approx(1), "edges": pytest.approx(1)}
    assert evaluate.sharpness(clean, 0.5 * clean) == {
        "gradient_energy": pytest.approx(0.25),
        "edges": pytest.approx(0.5),
    }
    blurred = evaluate.sharpness(clean, ndimage.gaussian_filter(clean, 1.0))
    noisy = evaluate.sharpness(clean, clean + 0.12 * np.random.default_rng(0).normal(size=clean.shape))
    assert blurred["edges"] < 0.8 and blurred["gradient_energy"] < 0.8
    assert noisy["gradient_energy"] > 1.2 and noisy["edges"] == pytest.approx(1, abs=0.05)


def test_sharpness_counts_spacing_and_mask() -> None:
    ramp = np.broadcast_to(np.arange(6.0)[:, None, None], (6, 7, 8)) + np.arange(8.0)
    other = ramp + np.arange(6.0)[:, None, None]  # twice as steep along z
    assert evaluate.sharpness(ramp, other)["edges"] == pytest.approx((2 + 1) / 2)
    assert evaluate.sharpness(ramp, other, spacing=(2.0, 1.0, 1.0))["edges"] == pytest.approx((2 / 4 + 1) / (1 / 4 + 1))
    left = np.arange(8) < 4
    half = ramp * np.where(left, 1, 3)
    assert evaluate.sharpness(ramp, half, np.arange(8) < 3)["edges"] == pytest.approx(1)
    with pytest.raises(InputError, match="flat"):
        evaluate.sharpness(np.ones((6, 7, 8)), ramp)
    with pytest.raises(InputError, match="shape"):
        evaluate.sharpness(ramp, ramp[1:])


def written(folder: Path, name: str, image: torch.Tensor, *, gradients: bool = True) -> Path:
    path = folder / name
    formats.save(SnrImage(image, 0.01 * ONE, ONE, "given", spacing=HEAD.spacing), path)
    if gradients:
        save_gradients(path, BVALS, BVECS)
    return path


def test_evaluate_dti_on_the_command_line(tmp_path: Path) -> None:
    reference = written(tmp_path, "truth.nii.gz", HEAD.image)
    noisy = rician_noise(HEAD.image, 0.02, torch.Generator().manual_seed(1)).image
    test = written(tmp_path, "noisy.nii.gz", noisy, gradients=False)
    found = json.loads(cli_runs.done("evaluate", "--reference", reference, "--test", test, "--dti").out)
    assert found["psnr"] > 20
    assert found["dti"]["fit"] == "dipy-wls" and found["dti"]["voxels"] > 500
    assert 0.005 < found["dti"]["fa_error"] < 0.2 and 0.5 < found["dti"]["v1_error"] < 20
    assert found["dti"]["units"]["md_error"] == "mm^2/s" and 0 < found["dti"]["md_error"] < 2e-4


def test_evaluate_dti_refuses(tmp_path: Path) -> None:
    reference = written(tmp_path, "truth.nii.gz", HEAD.image, gradients=False)
    pair = ("evaluate", "--reference", reference, "--test", reference)
    assert "bval" in cli_runs.refused(tmp_path, *pair, "--dti")
    (tmp_path / "other.bval").write_text("0 1000\n")
    (tmp_path / "other.bvec").write_text("0 1\n0 0\n0 0\n")
    more = ("--bvals", tmp_path / "other.bval", "--bvecs", tmp_path / "other.bvec")
    assert "expected" in cli_runs.refused(tmp_path, *pair, "--dti", *more)
    assert "--dti" in cli_runs.refused(tmp_path, *pair, *more)


def test_residual_structure_tells_removed_edges_from_removed_noise() -> None:
    clean = HEAD.image[0].numpy().astype(float)
    noisy = clean + 0.05 * np.random.default_rng(0).normal(size=clean.shape)
    assert abs(evaluate.residual_structure(clean, noisy, clean)) < 0.03
    assert evaluate.residual_structure(clean, noisy, ndimage.gaussian_filter(noisy, 1.0)) > 0.15
    assert evaluate.residual_structure(clean, noisy, clean + 0.5 * (clean - ndimage.gaussian_filter(clean, 1.5))) < -0.1
    assert evaluate.residual_structure(clean, noisy, noisy) == 0
