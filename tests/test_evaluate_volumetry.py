"""Volumetry: Dice and volumes against closed forms and scikit-image, tissues against simulated brains, the command."""

import json
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from clearmr.errors import InputError
from clearmr.evaluate import LABEL_NAMES, TISSUES, brain_mask, dice, segment_tissues, volumes_ml, volumetry
from clearmr.evaluate.tissues import shading
from clearmr.simulate import SCENES, brain_tissues
from cli_runs import done, refused

pytest.importorskip("dipy", reason="pip install 'clearmr[volumetry]'")
MATRIX, SPACING = (32, 64, 64), (5.25, 3.5, 3.0)


def brain(noise_sd: float = 0.0, seed: int = 0) -> torch.Tensor:
    """Magnitude (z, y, x) of the simulated head, peak 1, with noise of that SD of each part."""
    clean = SCENES[2].draw(MATRIX, seed=seed)[0]
    noise = torch.randn(MATRIX, generator=torch.Generator().manual_seed(5), dtype=torch.complex64)
    return (clean + noise_sd * 2**0.5 * noise).abs()


def truth(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """The tissue that fills most of each voxel, and the mask of the three."""
    fractions = brain_tissues(MATRIX, seed=seed)
    inside = fractions.sum(0) > 0.5
    return torch.where(inside, fractions.argmax(0) + 1, 0), inside


def test_dice_is_the_closed_form_of_two_shifted_cubes():
    a, b = np.zeros((2, 12, 12, 12), dtype=np.uint8)
    a[2:8, 2:8, 2:8], b[4:10, 2:8, 2:8] = 7, 7
    assert dice(a, b).per_label == {7: pytest.approx(4 / 6, abs=1e-15)}
    assert dice(a, a).mean == 1 and dice(a, np.roll(a, 6, 0)).mean < dice(a, b).mean


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), n_labels=st.integers(1, 9), share=st.floats(0.0, 0.9))
def test_dice_of_random_maps_is_one_less_the_dissimilarity_of_scipy(seed, n_labels, share):
    from scipy.spatial.distance import dice as dissimilarity

    rng = np.random.default_rng(seed)
    a = rng.integers(0, n_labels + 1, (3, 7, 5)) * 3
    b = np.where(rng.random(a.shape) < share, a, rng.integers(0, n_labels + 2, a.shape) * 3)
    found = dice(a, torch.from_numpy(b.astype(np.float32)))
    expected = {}
    for label in sorted({*np.unique(a), *np.unique(b)} - {0}):
        expected[int(label)] = 1 - dissimilarity((a == label).ravel(), (b == label).ravel())
    assert found.per_label == pytest.approx(expected, abs=1e-12)
    assert found.mean == pytest.approx(np.mean(list(expected.values())), abs=1e-12)


def test_a_label_of_one_map_counts_zero_and_of_none_nothing():
    a, b = np.array([[[0, 10, 10, 49]]]), np.array([[[0, 10, 26, 26]]])
    assert dice(a, b).per_label == {10: pytest.approx(2 / 3), 26: 0.0, 49: 0.0}
    assert dice(a, b).mean == pytest.approx(2 / 9)


def test_volumes_are_voxels_times_their_size():
    labels = np.zeros((4, 5, 6))
    labels[:2], labels[2] = 1, 2035
    assert volumes_ml(labels, spacing=(2.0, 1.0, 0.5)) == {1: pytest.approx(0.06), 2035: pytest.approx(0.03)}


def test_volumetry_names_what_it_knows():
    a = np.array([[[10, 10, 77]]])
    found = volumetry(a, a, spacing=(1.0, 1.0, 1.0), names=LABEL_NAMES["fsl-first"])
    assert found["dice"] == {"left thalamus": 1.0, "77": 1.0} and found["mean_dice"] == 1
    assert found["reference_ml"] == found["test_ml"] == {"left thalamus": 0.002, "77": 0.001}


def test_names_are_the_programs_own():
    first = {10, 11, 12, 13, 16, 17, 18, 26, 49, 50, 51, 52, 53, 54, 58}
    assert set(LABEL_NAMES["fsl-first"]) == first and first < set(LABEL_NAMES["freesurfer"])
    assert LABEL_NAMES["fsl-fast"] == TISSUES
    for side, other in ((10, 49), (17, 53), (2, 41), (26, 58), (28, 60)):
        left, right = (LABEL_NAMES["freesurfer"][n] for n in (side, other))
        assert left.replace("left", "right") == right


@pytest.mark.parametrize(
    "a, b",
    [
        (np.ones((2, 3, 4)), np.ones((2, 3, 5))),
        (np.full((2, 3, 4), 0.5), np.ones((2, 3, 4))),
        (np.full((2, 3, 4), -1.0), np.ones((2, 3, 4))),
        (np.full((2, 3, 4), np.nan), np.ones((2, 3, 4))),
        (np.ones((2, 3, 4)), np.ones((2, 3, 4)) * 1j),
        (np.zeros((2, 3, 4)), np.zeros((2, 3, 4))),
    ],
)
def test_what_are_no_label_maps_is_refused_in_one_line(a, b):
    with pytest.raises(InputError) as told:
        dice(a, b)
    assert "\n" not in str(told.value)


def test_tissues_of_a_simulated_brain_are_those_it_was_made_of_and_noise_blurs_them():
    known, inside = truth()
    found = [dice(known, segment_tissues(brain(sd), mask=inside, spacing=SPACING)) for sd in (0.02, 0.08, 0.16)]
    assert found[0].per_label.keys() == {1, 2, 3}
    assert min(found[0].per_label.values()) > 0.85 and found[0].mean > 0.9
    assert found[0].mean > found[1].mean + 0.02 > found[2].mean + 0.04


def test_segmentation_is_the_same_twice_keeps_to_the_mask_and_to_no_unit():
    _, inside = truth()
    image = brain(0.05)
    before = image.clone()
    first = segment_tissues(image, mask=inside, spacing=SPACING)
    again = segment_tissues(512 * image[None], mask=inside[None].numpy(), spacing=SPACING)
    assert first.dtype == np.uint8 and np.array_equal(first, again)
    assert np.array_equal(first > 0, inside.numpy()), "every voxel of the mask has a tissue"
    assert torch.equal(image, before)


def test_slow_shading_is_taken_out():
    known, inside = truth()
    steep = torch.exp(torch.linspace(-0.6, 0.6, MATRIX[2]))
    with_it, without = (
        dice(known, segment_tissues(brain(0.02) * steep, mask=inside, spacing=SPACING, unshade=u)).mean
        for u in (True, False)
    )
    assert with_it > 0.88 and with_it > without + 0.05
    box = np.ones((24, 24, 24), dtype=bool)
    np.testing.assert_allclose(shading(np.full(box.shape, 3.0), box, spacing=(4.0, 4.0, 4.0)), 1, atol=1e-6)


def test_in_t2_fluid_is_the_brightest():
    known, inside = truth()
    image = SCENES[2].draw(MATRIX, contrast="t2").abs()[0]
    noisy = (image + 0.02 * torch.randn(MATRIX, generator=torch.Generator().manual_seed(1))).abs()
    found = segment_tissues(noisy, mask=inside, spacing=SPACING, contrast="t2")
    assert dice(known, found).mean > 0.85


@pytest.mark.parametrize("seed, variety", [(0, 0.0), (2, 1.0)])
def test_the_brain_is_found_without_scalp(seed, variety):
    matrix, spacing = (40, 80, 80), (4.2, 2.8, 2.4)
    fractions = brain_tissues(matrix, seed=seed, variety=variety)
    image = SCENES[2].draw(matrix, seed=seed, variety=variety).abs()[0]
    found = torch.from_numpy(brain_mask(image, spacing=spacing))
    tissue, outside = fractions[1:].sum(0) > 0.5, fractions.sum(0) < 0.01
    upper = slice(16, None)
    assert (found & tissue)[upper].sum() > 0.85 * tissue[upper].sum()
    assert (found & outside)[upper].sum() < 0.03 * found[upper].sum()


def test_what_cannot_be_segmented_is_refused_in_one_line():
    image, inside = brain(), torch.ones(MATRIX)
    for bad, options in (
        (image[0], {}),
        (image[:4], {}),
        (image.expand(2, *MATRIX), {}),
        (image * float("nan"), {}),
        (0 * image, {"mask": inside}),
        (0 * image, {}),
        (image, {"mask": 0 * inside}),
        (image, {"mask": inside[1:]}),
    ):
        with pytest.raises(InputError) as told:
            segment_tissues(bad, **options)
        assert "\n" not in str(told.value)


def test_without_dipy_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "dipy.segment.tissue", None)
    with pytest.raises(InputError, match=r"clearmr\[volumetry\]"):
        segment_tissues(brain())


def nifti(path: Path, volume, spacing=SPACING) -> Path:
    nibabel.Nifti1Image(np.asarray(volume).T, np.diag([*spacing[::-1], 1])).to_filename(path)
    return path


def test_the_command_segments_tissues(tmp_path: Path):
    _, inside = truth()
    reference = nifti(tmp_path / "ref.nii.gz", brain())
    tests = [nifti(tmp_path / f"t{i}.nii.gz", brain(sd)) for i, sd in enumerate((0.03, 0.12))]
    mask = nifti(tmp_path / "mask.nii.gz", inside.to(torch.uint8))
    pair = ("--reference", reference, "--test", *tests)
    value = json.loads(done("evaluate", *pair, "--tissues", "--mask", mask).out)
    near, far = (r["volumetry"] for r in value["results"])
    assert set(near["dice"]) == {"CSF", "GM", "WM"} and near["labels"] == "dipy-hmrf"
    assert near["mean_dice"] > far["mean_dice"] + 0.02
    whole = float(inside.sum()) * np.prod(SPACING) / 1000
    assert sum(near["reference_ml"].values()) == pytest.approx(whole, rel=1e-5)
    assert value["results"][0]["psnr"] > value["results"][1]["psnr"]
    same = json.loads(done("evaluate", "--reference", reference, "--test", reference, "--tissues").out)
    assert same["volumetry"]["mean_dice"] == 1 and same["psnr"] is None


def test_the_command_takes_label_maps_of_any_program(tmp_path: Path):
    rng = np.random.default_rng(0)
    a, b = (rng.choice([0, 10, 11, 49], (6, 8, 8)).astype(np.int16) for _ in range(2))
    ref, test = nifti(tmp_path / "a.nii.gz", a, (1.0, 2.0, 3.0)), nifti(tmp_path / "b.nii.gz", b, (1.0, 2.0, 3.0))
    labels = ("--reference-labels", ref, "--test-labels", test)
    found = json.loads(done("evaluate", *labels, "--names", "fsl-first").out)
    assert found["volumetry"]["dice"]["left thalamus"] == pytest.approx(dice(a, b).per_label[10])
    assert found["volumetry"]["reference_ml"]["right thalamus"] == pytest.approx((a == 49).sum() * 0.006)
    assert found["test"] == str(test) and "psnr" not in found and found["provenance"]["input"] == [str(ref), str(test)]
    image = nifti(tmp_path / "i.nii.gz", rng.random((6, 8, 8)).astype(np.float32))
    both = json.loads(done("evaluate", "--reference", image, "--test", image, *labels).out)
    assert both["nrmse"] == 0 and set(both["volumetry"]["dice"]) == {"10", "11", "49"}


@pytest.mark.parametrize(
    "args, said",
    [
        ((), "--reference"),
        (("--reference", "{f}/i.nii.gz"), "--test"),
        (("--reference-labels", "{f}/l.nii.gz"), "--test-labels"),
        (("--reference", "{f}/i.nii.gz", "--test", "{f}/i.nii.gz", "--test-labels", "{f}/l.nii.gz"), "together"),
        (("--reference-labels", "{f}/l.nii.gz", "--test-labels", "{f}/i.nii.gz"), "whole numbers"),
        (("--reference-labels", "{f}/l.nii.gz", "--test-labels", "{f}/small.nii.gz"), "shape"),
        (("--reference-labels", "{f}/l.nii.gz", "--test-labels", "{f}/l.nii.gz", "--names", "ants"), "fsl-fast"),
        (("--reference-labels", "{f}/l.nii.gz", "--test-labels", "{f}/l.nii.gz", "--tissues"), "--tissues"),
        (("--reference", "{f}/i.nii.gz", "--test", "{f}/i.nii.gz", "--tissues", "--contrast", "pd"), "--contrast"),
        (("--reference", "{f}/flat.nii.gz", "--test", "{f}/flat.nii.gz", "--tissues"), "3D image"),
        (("--reference", "{f}/i.nii.gz", "--test", "{f}/i.nii.gz", "--tissues", "--mask", "{f}/none.nii.gz"), "empty"),
        (("--reference", "{f}/i.nii.gz", "--test", "{f}/small.nii.gz", "--tissues"), "shape"),
    ],
)
def test_the_command_refuses(tmp_path: Path, args, said):
    rng = np.random.default_rng(0)
    nifti(tmp_path / "i.nii.gz", rng.random((10, 12, 12)).astype(np.float32))
    nifti(tmp_path / "flat.nii.gz", rng.random((1, 32, 32)).astype(np.float32))
    nifti(tmp_path / "l.nii.gz", np.ones((10, 12, 12), dtype=np.int16))
    nifti(tmp_path / "small.nii.gz", np.ones((9, 12, 12), dtype=np.int16))
    nifti(tmp_path / "none.nii.gz", np.zeros((10, 12, 12), dtype=np.int16))
    assert said in refused(tmp_path, "evaluate", *[a.format(f=tmp_path) for a in args])


def test_a_real_head_has_the_tissue_volumes_of_a_person(shared_data):
    """A T1 of an adult with skull (see SOURCE.txt), no mask given: tissue volumes as in the literature, about."""
    image = nibabel.as_closest_canonical(nibabel.load(shared_data("t1_brain_0p7mm/t1w_defaced_0p67mm.nii.gz")))
    volume = np.asarray(image.dataobj)[::4, ::4, ::4].T.astype(np.float32)
    spacing = tuple(float(size) * 4 for size in image.header.get_zooms()[:3][::-1])
    ml = volumes_ml(segment_tissues(volume, spacing=spacing), spacing=spacing)
    assert 450 < ml[2] < 900 and 350 < ml[3] < 750 and 100 < ml[1] < 500
