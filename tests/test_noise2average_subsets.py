"""Two sets from one diffusion acquisition; b values and directions in files; training before."""

from pathlib import Path

import numpy as np
import pytest
import torch

from clearmr.errors import InputError
from clearmr.formats import gradients
from clearmr.methods.noise2average import presets, subsets, training
from clearmr.methods.noise2average.config import DataConfig, NetConfig
from clearmr.scan import SnrImage
from noise2average_stubs import truth

pytest.importorskip("dipy")
ONE = torch.ones(1, 1, 1, 1)


def acquisition(n: int = 16, plain: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """b values and directions that spread over the sphere (a spiral)."""
    z = 1 - (np.arange(n) + 0.5) / n
    turn = np.pi * (1 + 5**0.5) * np.arange(n)
    radius = np.sqrt(1 - z**2)
    vectors = np.stack([radius * np.cos(turn), radius * np.sin(turn), z], 1)
    return np.r_[np.zeros(plain), np.full(n, 1000.0)], np.vstack([np.zeros((plain, 3)), vectors])


def signal(bvals: np.ndarray, bvecs: np.ndarray, n: int = 10) -> torch.Tensor:
    """A tensor of FA about 0.75 everywhere, S0 a smooth volume."""
    tensor = np.diag([1.6e-3, 0.3e-3, 0.4e-3])
    decay = np.exp(-bvals * np.einsum("vi,ij,vj->v", bvecs, tensor, bvecs))
    return torch.from_numpy(decay.astype(np.float32)).view(-1, 1, 1, 1) * (1 + truth(n))[None]


def image(values: torch.Tensor, sd: float = 0.02) -> SnrImage:
    return SnrImage(values, sd * ONE, ONE, "given", (2.0, 2.0, 2.0))


def test_both_sets_hold_all_volumes_as_the_tensor_has_them() -> None:
    bvals, bvecs = acquisition()
    clean = signal(bvals, bvecs)
    for made in subsets.sets_of(image(clean), bvals, bvecs, mask=torch.ones(10, 10, 10)):
        assert made.image.shape == clean.shape and made.spacing == (2.0, 2.0, 2.0)
        torch.testing.assert_close(made.image, clean, rtol=0.01, atol=0.01)
        assert made.meta["steps"][-1]["name"] == "synthesise"


def test_halves_share_no_weighted_volume_and_each_determines_a_tensor() -> None:
    for plain in (1, 2, 5):
        bvals, bvecs = acquisition(plain=plain)
        one, other = subsets.split(bvals, bvecs)
        shared = set(one) & set(other)
        assert shared == ({0} if plain == 1 else set())
        assert set(one) | set(other) == set(range(len(bvals)))
        assert max(subsets.noise_factors(bvals, bvecs, half).max() for half in (one, other)) < 3


def free(bvals: np.ndarray, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """A little isotropic diffusion, so that all signals are of about one size; and the same with noise of SD 0.02."""
    clean = torch.from_numpy(np.exp(-2e-4 * bvals).astype(np.float32)).view(-1, 1, 1, 1).expand(-1, 12, 12, 12)
    return clean, clean + 0.02 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(seed))


def test_the_noise_of_a_synthesised_volume_is_told() -> None:
    bvals, bvecs = acquisition()
    _, noisy = free(bvals)
    for made in subsets.sets_of(image(noisy), bvals, bvecs, mask=torch.ones(12, 12, 12)):
        found = made.image.flatten(1).std(1)
        np.testing.assert_allclose(found.numpy(), made.noise_sd.flatten(1).mean(1).numpy(), rtol=0.1)


def test_the_noise_of_aligned_fibres_is_told_voxel_by_voxel() -> None:
    bvals, bvecs = acquisition()
    clean = signal(bvals, bvecs, 14)
    noisy = clean + 0.02 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(1))
    for made in subsets.sets_of(image(noisy), bvals, bvecs, mask=torch.ones(14, 14, 14)):
        found = ((made.image - clean) / made.noise_sd).flatten(1).std(1)
        np.testing.assert_allclose(found.numpy(), 1, atol=0.06)


def test_where_there_is_no_signal_there_is_no_more_noise() -> None:
    bvals, bvecs = acquisition()
    signals = np.stack([np.where(bvals > 0, 0.0, 1.0), np.zeros(len(bvals))], 1)
    half, _ = subsets.split(bvals, bvecs)
    found = subsets.noise_left(signals, bvals, bvecs, half)
    assert np.isfinite(found).all() and found.max() < 2


def test_there_is_nothing_outside_the_mask() -> None:
    bvals, bvecs = acquisition()
    mask = torch.zeros(10, 10, 10)
    mask[2:8] = 1
    for made in subsets.sets_of(image(signal(bvals, bvecs)), bvals, bvecs, mask=mask):
        assert not made.image[:, mask == 0].any() and bool((made.image[:, mask == 1] > 0).all())


def test_the_two_sets_have_independent_noise() -> None:
    bvals, bvecs = acquisition()
    clean, noisy = free(bvals)
    one, other = (m.image - clean for m in subsets.sets_of(image(noisy), bvals, bvecs, mask=torch.ones(12, 12, 12)))
    assert abs(np.corrcoef(one.flatten().numpy(), other.flatten().numpy())[0, 1]) < 0.05


def test_what_cannot_be_split_is_refused() -> None:
    bvals, bvecs = acquisition(10)
    with pytest.raises(InputError, match="12 directions"):
        subsets.split(bvals, bvecs)
    bvals, bvecs = acquisition()
    with pytest.raises(InputError, match="without diffusion weighting"):
        subsets.split(bvals[2:], bvecs[2:])
    for height in (0.0, 0.05):
        flat = bvecs.copy()
        flat[2:, 2] *= height
        flat[2:] /= np.linalg.norm(flat[2:], axis=1, keepdims=True)
        with pytest.raises(InputError, match="spread over the sphere"):
            subsets.split(bvals, flat)
    with pytest.raises(InputError, match="magnitudes"):
        subsets.sets_of(image(signal(*acquisition()).to(torch.complex64)), *acquisition())


def files(folder: Path, bvals: str, bvecs: str) -> Path:
    (folder / "dwi.bval").write_text(bvals)
    (folder / "dwi.bvec").write_text(bvecs)
    return folder / "dwi.nii.gz"


def test_gradients_are_read_either_way(tmp_path: Path) -> None:
    bvals, bvecs = acquisition(3, 1)
    for vectors in (bvecs, bvecs.T):
        text = "\n".join(" ".join(f"{v:.8f}" for v in row) for row in vectors)
        found = gradients.read(files(tmp_path, " ".join(map(str, bvals)), text), volumes=4)
        np.testing.assert_allclose(found.bvals, bvals)
        np.testing.assert_allclose(found.bvecs, bvecs, atol=1e-7)
        np.testing.assert_allclose(found.part(np.array([2])).bvecs, bvecs[2:3], atol=1e-7)


def test_three_volumes_are_in_columns_as_fsl_writes_them(tmp_path: Path) -> None:
    found = gradients.read(files(tmp_path, "0 1000 1000", "0 0 1\n0 0.6 0\n0 0.8 0"))
    np.testing.assert_allclose(found.bvecs, [[0, 0, 0], [0, 0.6, 0.8], [1, 0, 0]])


@pytest.mark.parametrize(
    ("bvals", "bvecs", "volumes", "expected"),
    [
        ("0 1000", "0 1\n0 0\n0 0", 3, "a b value for each volume"),
        ("0 1000 1000", "0 1\n0 0\n0 0", None, "as many directions"),
        ("0 1000", "0 2\n0 0\n0 0", 2, "length 1"),
        ("0 -5", "0 1\n0 0\n0 0", 2, "b values of 0 or more"),
        ("zero many", "0 1\n0 0\n0 0", 2, "rows of numbers"),
        ("", "0 1\n0 0\n0 0", 2, "rows of numbers"),
    ],
)
@pytest.mark.filterwarnings("ignore:loadtxt")
def test_gradients_that_do_not_fit_are_refused(
    bvals: str, bvecs: str, volumes: int | None, expected: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=expected):
        gradients.read(files(tmp_path, bvals, bvecs), volumes=volumes)


def test_a_missing_file_of_gradients_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"x\.bval.*--bvals"):
        gradients.read(tmp_path / "x.nii.gz")


def test_training_pairs_are_normalised_noisy_averages_and_what_to_add() -> None:
    clean = torch.full((1, 24, 24, 24), 0.5)
    clean[:, :12] = 1.0
    generator = torch.Generator().manual_seed(0)
    inputs, target = training.residual_pair(clean, 0.05, 2, generator)
    values = inputs[0]
    assert float(values.mean()) == pytest.approx(0, abs=1e-4) and float(values.std()) == pytest.approx(1, abs=1e-3)
    whole = (inputs + target)[0]
    assert float(whole[:, :12].std()) < 1e-4 and float(whole[:, 12:].std()) < 1e-4  # the residual leads to the truth
    contrast = float(whole[:, :12].mean() - whole[:, 12:].mean())
    assert float(target[0, :, :12].std()) / contrast == pytest.approx(0.05 / 2**0.5 / 0.5, rel=0.05)


def test_samples_depend_on_seed_step_and_index_alone() -> None:
    samples = training.Samples((truth()[None], truth(seed=1)[None]), DataConfig(block=(8, 8, 8)), 3)
    one, same, other = samples(5, 0), samples(5, 0), samples(6, 0)
    assert torch.equal(one[0], same[0]) and not torch.equal(one[0], other[0])
    assert one[0].shape == one[1].shape == (1, 1, 8, 8, 8)


def test_training_makes_residuals_smaller_and_is_refused_what_does_not_fit(tmp_path: Path) -> None:
    import dataclasses

    settings = presets.tiny()
    longer = dataclasses.replace(
        settings, loop=dataclasses.replace(settings.loop, steps=60, learning_rate=5e-3, validate_every=30),
        net=dataclasses.replace(settings.net, width=8),
    )  # fmt: skip
    net = training.fit([image(truth(24)[None])], [], longer, 0, run=tmp_path / "run")
    inputs, target = training.Samples((truth(24, 1)[None] / 1.2,), DataConfig(block=(16, 16, 16)), 9)(0, 0)
    with torch.no_grad():
        left = (net(inputs) - target).square().mean()
    assert float(left) < 0.7 * float(target.square().mean())
    chain = dataclasses.replace(settings, net=NetConfig("chain", widths=(4, 4), volumes=3))
    with pytest.raises(InputError, match=r"net\.volumes=1"):
        training.fit([image(truth(24)[None])], [], chain, 0, run=tmp_path / "other")
    with pytest.raises(InputError, match="at least 8 voxels"):
        training.fit([image(torch.rand(1, 4, 20, 20))], [], settings, 0, run=tmp_path / "third")
