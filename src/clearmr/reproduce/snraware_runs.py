"""One run of SNRAware's Table 2: a network, a scheme, a seed; trained, then judged on series that no scheme saw."""

import dataclasses
import functools
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from torch import Tensor, nn

from clearmr import evaluate, formats
from clearmr.errors import InputError
from clearmr.files import whole_file
from clearmr.methods.snraware import method
from clearmr.methods.snraware.config import DataConfig, LossConfig, NetConfig, NoiseConfig, SnrAwareConfig
from clearmr.methods.snraware.model import TABLE2_ARCHITECTURES, table2
from clearmr.methods.snraware.pairs import Pair, to_channels
from clearmr.methods.snraware.schemes import SCHEMES, scheme
from clearmr.reproduce import kept
from clearmr.reproduce import snraware_data as simulated
from clearmr.scan import SnrImage
from clearmr.train import checkpoint
from clearmr.train.settings import LoopConfig

NATIVE_SNR = (20.0, 200.0)  # peak; sigma up to 32 leaves a thirtieth of it
# Nothing but the simulated series and their noise, complex, in patches of several frames.
DATA = DataConfig(single_frame_probability=0.0, magnitude_probability=0.0, synthetic=0.0, native_snr=NATIVE_SNR)
FIGURES = ("psnr", "psnr_complex", "ssim", "ssim_unit")


@dataclass(frozen=True)
class Scale:
    """How much is trained: networks, schemes of each, seeds, the configuration of a network, and the data's sizes."""

    networks: tuple[str, ...]
    seeds: int
    base: SnrAwareConfig
    sizes: simulated.Sizes

    def schemes(self, network: str) -> tuple[str, ...]:
        """All, but as in the paper no ablation of the 2D networks."""
        return SCHEMES[:1] if network.endswith("2d") else SCHEMES

    def config(self, network: str, scheme_name: str) -> SnrAwareConfig:
        """Settings of a run: but for what the scheme leaves out, the same for all."""
        size = self.base.net
        net = NetConfig(network, channels=size.channels, cells=size.cells, norm=size.norm)
        if size.norm == "patch":
            net = table2(network)
        return scheme(dataclasses.replace(self.base, net=net), scheme_name)


def tiny() -> Scale:
    """Four networks of a quarter of the width and one cell per block; minutes each on one CPU thread."""
    base = SnrAwareConfig(
        noise=NoiseConfig(),
        net=NetConfig(channels=(16, 32), cells=1, norm="pixel"),
        data=dataclasses.replace(DATA, patch=(8, 32, 32), batch=2),
        loss=LossConfig(epsilon=1.0),
        loop=LoopConfig(
            steps=1000, learning_rate=2e-3, average_decay=0.98, bf16=True, save_every=250, validate_every=250
        ),
    )
    sizes = simulated.Sizes((1, 64, 64), (16, 64, 64), 12, 64, training=4, leaves=8, judged=3, subjects=2, arrays=6)
    networks = ("hrnet-cnnt", "hrnet-conv3d", "unet-cnnt", "unet-conv3d")
    return Scale(networks, 3, base, sizes)


def full() -> Scale:
    """The paper's 14 networks at their size, on patches of 16 x 64 x 64; for a GPU."""
    base = SnrAwareConfig(
        noise=NoiseConfig(),
        net=NetConfig(channels=(64, 128), norm="patch"),
        data=dataclasses.replace(DATA, patch=(16, 64, 64), batch=16),
        loss=LossConfig(gradient=1.0),
        loop=LoopConfig(steps=50000, learning_rate=5e-4, bf16=True, save_every=1000, validate_every=1000, workers=8),
    )
    sizes = simulated.Sizes(
        (1, 128, 128), (48, 128, 128), 30, 64, training=32, leaves=64, judged=8, subjects=4, arrays=32
    )
    return Scale(TABLE2_ARCHITECTURES, 1, base, sizes)


SCALES = {"tiny": tiny, "full": full}


@dataclass(frozen=True)
class Run:
    """One run, by value: it is sent to another process. `folder` is that of all runs."""

    network: str
    scheme: str
    seed: int
    scale: Scale
    folder: Path
    data: tuple[Path, ...] = ()
    device: str = "cpu"

    @property
    def name(self) -> str:
        return f"{self.network}_{self.scheme}_{self.seed}"

    @property
    def figures_file(self) -> Path:
        return self.folder / self.name / "figures.json"

    @property
    def settings(self) -> dict[str, Any]:
        """All that decides the result, as JSON holds it."""
        values = {
            "config": dataclasses.asdict(self.scale.config(self.network, self.scheme)),
            "sizes": dataclasses.asdict(self.scale.sizes),
            "seed": self.seed,
            "data": [str(path) for path in self.data],
        }
        return kept.as_json(values)


def finished(run: Run) -> dict[str, Any] | None:
    """The figures of a run that is done. Raises InputError where it was done with other settings."""
    return kept.read(run.figures_file, run.settings)


def train_and_judge(run: Run) -> dict[str, Any]:
    """Train (going on where the run was stopped), judge, and write the run's `figures.json`."""
    began = time.monotonic()
    denoiser = _trained(run)
    trained = time.monotonic()
    config = run.scale.config(run.network, run.scheme)
    series = _judged(run.scale.sizes, run.scale.base.noise, run.scale.base.data.native_snr)
    judged = judge(denoiser.net, series, config, run.device)
    seconds = {"training": round(trained - began, 1), "judging": round(time.monotonic() - trained, 1)}
    found = {"network": run.network, "scheme": run.scheme, "seed": run.seed, **judged, "seconds": seconds}
    with whole_file(run.figures_file, force=True) as temporary:
        temporary.write_text(json.dumps({**found, "settings": run.settings}, indent=1) + "\n", encoding="utf-8")
    return found


def _trained(run: Run) -> method.SnrAware:
    folder, sizes = run.folder / run.name, run.scale.sizes
    folder.mkdir(parents=True, exist_ok=True)
    return method.fit(
        [*_training(sizes), *_named(run.data)],
        _choosing(sizes),
        run.scale.config(run.network, run.scheme),
        run.seed,
        gmaps=_gmaps(sizes),
        run=folder,
        name=run.name,
        resume=checkpoint.begun(folder),
        device=run.device,
    )


def judge(net: nn.Module, series: Sequence[simulated.Judged], config: SnrAwareConfig, device: str) -> dict[str, Any]:
    """Mean over series of PSNR (MAX 2048) and SSIM of the denoised and of the noisy images; the first also by scene.

    The network is run as it was trained: nothing but its own inputs tells it of the noise.
    """
    after = [(one.scene, _figures(one.pair, denoised(net, one.pair, config, device))) for one in series]
    before = [_figures(one.pair, one.pair.noisy) for one in series]
    scenes = dict.fromkeys(scene for scene, _ in after)
    return {
        "denoised": _mean([figures for _, figures in after]),
        "noisy": _mean(before),
        "by_scene": {scene: _mean([figures for name, figures in after if name == scene]) for scene in scenes},
    }


def denoised(net: nn.Module, pair: Pair, config: SnrAwareConfig, device: str) -> Tensor:
    """The network's (frame, y, x) of a pair: complex, or magnitude where it knows no phase."""
    told = pair.gmap if config.noise.told == "gmap" else pair.noise_sd
    inputs = to_channels(pair.noisy, told, net=config.net)[None]
    with torch.inference_mode():
        out = net.eval()(inputs.to(device))[0].float().cpu()
    return torch.complex(out[0], out[1]) if config.net.image == "complex" else out[0].clamp(min=0)


def _figures(pair: Pair, image: Tensor) -> dict[str, float | None]:
    return dataclasses.asdict(evaluate.in_snr_units(pair.target[:, None], image[:, None]))


def _mean(figures: Sequence[dict[str, float | None]]) -> dict[str, float | None]:
    """Mean of each figure over series; None where an image has none."""
    columns = {name: [found[name] for found in figures] for name in FIGURES}
    return {n: None if None in values else fmean(v for v in values if v is not None) for n, values in columns.items()}


# A process makes many runs on the same data.
@functools.lru_cache(maxsize=1)
def _training(sizes: simulated.Sizes) -> tuple[SnrImage, ...]:
    return tuple(simulated.training_images(sizes))


@functools.lru_cache(maxsize=1)
def _choosing(sizes: simulated.Sizes) -> tuple[SnrImage, ...]:
    return tuple(simulated.choosing_images(sizes))


@functools.lru_cache(maxsize=1)
def _gmaps(sizes: simulated.Sizes) -> Any:
    return simulated.gmaps(sizes, first_seed=simulated.TRAINING)


@functools.lru_cache(maxsize=1)
def _judged(sizes: simulated.Sizes, noise: NoiseConfig, native_snr: tuple[float, float]) -> Sequence[simulated.Judged]:
    return simulated.judged_series(sizes, noise, native_snr)


@functools.lru_cache(maxsize=1)
def _named(paths: tuple[Path, ...]) -> tuple[SnrImage, ...]:
    """The user's images. Raises InputError for raw data."""
    images = []
    for path in paths:
        loaded = formats.load(path)
        if not isinstance(loaded, SnrImage):
            raise InputError("images to train on", f"raw data in {path}", "reconstruct it first: clearmr recon")
        images.append(loaded)
    return tuple(images)
