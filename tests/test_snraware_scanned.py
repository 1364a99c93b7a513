"""Series through simulated coils and GRAPPA, that a second network learns from."""

import dataclasses

import torch

from clearmr.methods.snraware import scanned
from clearmr.simulate import scan_of, simulate


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def heart(n_frames: int = 4) -> torch.Tensor:
    return simulate("cine", matrix=(1, 64, 64), n_frames=n_frames, n_coils=2, seed=3).truth[:, 0]


def test_the_noise_is_as_told_and_the_truth_folds_over() -> None:
    clean = heart()
    folded, spread = [], []
    for seed in range(6):
        noisy, target, noise_sd = scanned.scanned(clean, rng(seed))
        assert noisy.shape == target.shape == noise_sd.shape == clean.shape
        assert float(noise_sd.median()) == 1.0
        noise = torch.view_as_real((noisy - target) / noise_sd)
        assert abs(float(noise.square().mean().sqrt()) - 1) < 0.03
        assert scanned.SNR[0] * 0.99 < float((target.abs() / noise_sd)[_body(target)].mean()) < scanned.SNR[1] * 1.01
        spread.append(float(noise_sd.std()))
        # A least-squares multiple of what was scanned leaves the shading of the coils, and what folded over.
        scale = (clean.conj() * target).sum() / clean.abs().square().sum()
        folded.append(float((target - scale * clean).abs().square().sum() / target.abs().square().sum()))
    again = scanned.scanned(clean, rng(5))
    assert all(torch.equal(a, b) for a, b in zip(again, (noisy, target, noise_sd), strict=True))
    assert min(folded) > 1e-5 and max(folded) < 0.5
    assert max(spread) > 0.05  # g is not the same everywhere


def test_what_is_true_holds_no_noise_of_the_calibration() -> None:
    loud, quiet = (
        scan_of(heart()[:, None], fov=(8.0, 300.0, 300.0), acceleration=3, **noise)
        for noise in ({"snr": 20.0}, {"noise_sd": 0.0})
    )
    nothing = dataclasses.replace(quiet, scan=dataclasses.replace(quiet.scan, kspace=0 * quiet.scan.kspace))
    signal, noise = scanned.apart(loud, nothing, rng())
    assert not bool(signal.image.any())
    spread = torch.view_as_real(noise.image / noise.noise_sd).std()
    assert abs(float(spread) - 1) < 0.03


def test_some_objects_lie_in_air_and_some_have_lesions() -> None:
    clean = torch.ones(3, 64, 64, dtype=torch.complex64)
    corners = [float(scanned.scanned(clean, rng(seed))[1][:, 0, 0].abs().mean()) for seed in range(10)]
    assert min(corners) < 0.1 * max(corners)
    with_lesions, without = (scanned.scanned(heart(), rng(4), lesion=share)[1] for share in (1.0, 0.0))
    assert float((with_lesions - without).abs().max()) > 2


def test_an_object_that_air_would_cover_stays() -> None:
    clean = torch.zeros(3, 64, 64, dtype=torch.complex64)
    clean[:, :3, :3] = 1
    assert all(bool(scanned.scanned(clean, rng(seed))[1].abs().max() > 3) for seed in range(4))


def _body(target: torch.Tensor) -> torch.Tensor:
    return target.abs() > scanned.BODY * target.abs().max()
