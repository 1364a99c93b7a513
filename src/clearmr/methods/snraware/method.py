"""SNRAware: fit a network to noise made on the fly, denoise images in SNR units with it."""

import dataclasses
import functools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from clearmr.axes import Net5D, NetOut
from clearmr.denoiser import Progress, no_progress
from clearmr.errors import InputError
from clearmr.methods.snraware import corpus, pairs, presence, tiles
from clearmr.methods.snraware.config import NetConfig, SnrAwareConfig
from clearmr.nets import ResidualConv3d, UNet
from clearmr.scan import SnrImage
from clearmr.train import checkpoint, loop, losses

WEIGHTS = Path(__file__).parent / "weights"
DEFAULT_MODEL = "snraware-tiny"
VALIDATION_BATCHES = 12


class SnrAwareNet(nn.Module):
    """(real, imaginary, noise SD) -> (real, imaginary): the input less what the U-net takes for noise.

    Shapes (B, 3, T, H, W) -> (B, 2, T, H, W), any T, H, W. Positively homogeneous: net(a x, a sd) = a net(x, sd).
    """

    def __init__(self, config: NetConfig) -> None:
        super().__init__()
        self.noise = UNet(3, 2, channels=config.channels, cells=config.cells, cell=ResidualConv3d)

    def forward(self, x: Net5D) -> NetOut:
        return x[:, :2] - self.noise(x).float()


@dataclass(frozen=True)
class SnrAware:
    """A trained network as a `Denoiser`. Complex images keep their phase; magnitude images stay magnitude."""

    net: nn.Module
    name: str
    card: dict[str, Any]
    device: str = "cpu"
    memory_bytes: float = 2.0e9
    progress: Progress = no_progress

    def __call__(self, image: SnrImage) -> SnrImage:
        """Denoise along frames (a series) or along z (one volume or slice stack), whole or tile by tile.

        Where an image is far smoother than its noise_sd says, only that share of the noise is removed, with a warning.
        """
        along_frames = image.image.shape[0] > 1
        series = image.image.movedim(1, 0) if along_frames else image.image  # (n, T, y, x)
        noise_sd = image.noise_sd.float().expand(image.image.shape)
        noise_sd = noise_sd.movedim(1, 0) if along_frames else noise_sd
        shares = [presence.share_present(s, sd) for s, sd in zip(series, noise_sd, strict=True)]
        parts = zip(series, noise_sd, shares, strict=True)
        out = torch.stack([self._series(s, sd, k, len(series), f) for k, (s, sd, f) in enumerate(parts)])
        out = out.movedim(0, 1) if along_frames else out
        return dataclasses.replace(image, image=out.to(image.image.dtype), meta=self._meta(image, min(shares)))

    def _meta(self, image: SnrImage, share: float) -> dict[str, Any]:
        step = {"name": "denoise", "method": "snraware", "model": self.name, "sha256": self.card.get("sha256")}
        warnings = list(image.meta.get("warnings", []))
        if share < 1:
            step["share removed"] = share
            warnings.append(
                f"the image is far smoother than its noise level says ({share:.2f} of it in the flattest places): was "
                "it denoised before, or is the noise level wrong? Only that share of what looks like noise was removed"
            )
        return {**image.meta, "steps": [*image.meta.get("steps", []), step], "warnings": warnings}

    def _series(self, series: Tensor, noise_sd: Tensor, index: int, n: int, share: float) -> Tensor:
        unit = _unit(noise_sd)
        channels = pairs.to_channels(series, noise_sd) / unit

        def report(done: int, total: int) -> None:
            self.progress(index * total + done, n * total)

        out = tiles.apply(self._run, channels, memory_bytes=self.memory_bytes, report=report) * unit
        clean = torch.complex(out[0], out[1]) if series.is_complex() else out[0].clamp(min=0)
        return torch.lerp(series, clean, share)

    def _run(self, channels: Float[Tensor, "C T H W"]) -> Float[Tensor, "2 T H W"]:
        layout = torch.channels_last_3d
        with torch.inference_mode():
            return self.net(channels[None].to(self.device).contiguous(memory_format=layout))[0].cpu()


def _unit(noise_sd: Tensor) -> Tensor:
    """The scale that brings an image to SNR units: the median noise SD where there is noise."""
    positive = noise_sd[noise_sd > 0]
    if not len(positive):
        raise InputError("a positive noise_sd", "zero everywhere", "a noise-free image needs no denoising")
    return positive.median()


def fit(
    cases: Sequence[SnrImage],
    validation: Sequence[SnrImage],
    config: SnrAwareConfig,
    seed: int,
    *,
    gmaps: Float[Tensor, "n y x"],
    run: Path,
    name: str = DEFAULT_MODEL,
    resume: bool = False,
    device: str = "cpu",
    progress: Progress = no_progress,
) -> SnrAware:
    """Train on clean high-SNR cases with `gmaps` on offer (R = 2..8 and ones); the best on `validation` is kept.

    validation: images of other subjects (fixed noise draws, PSNR-like merit); dead leaves alone where it is empty.
    """
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    train_series = [s for case in cases for s in corpus.clean_series(case)]
    held_out = [s for case in validation for s in corpus.clean_series(case)]
    leaves = corpus.synthetic_series(generator) if config.data.synthetic or not held_out else []
    batches = pairs.Batches(corpus.PatchSampler(train_series, leaves, config.data), gmaps, config, seed)
    unseen = dataclasses.replace(config.data, synthetic=0.0)
    checks = pairs.Batches(corpus.PatchSampler(held_out, leaves, unseen), gmaps, config, seed + 1)
    fixed = [checks(k) for k in range(VALIDATION_BATCHES)]

    def merit(net: nn.Module) -> float:
        return float(torch.tensor([_gain(net, batch, device) for batch in fixed]).nanmean())

    loss = functools.partial(losses.charbonnier, epsilon=config.loss.epsilon)
    net = loop.train(
        SnrAwareNet(config.net), batches, loss, merit,
        config=config.loop, run=run, resume=resume, device=device, progress=progress,
    )  # fmt: skip
    return SnrAware(net.eval(), name, {"net": dataclasses.asdict(config.net)}, device=device)


def _gain(net: nn.Module, batch: loop.Batch, device: str) -> float:
    """Mean PSNR gain of a batch in dB over the noisy input, at most 30; noise-free pairs left out (NaN if all are)."""
    inputs, target = batch
    with torch.inference_mode():
        out = net(inputs.to(device).contiguous(memory_format=torch.channels_last_3d)).cpu()
        error = (out - target).square().mean((1, 2, 3, 4))
    before = (inputs[:, :2] - target).square().mean((1, 2, 3, 4))
    noisy = before > 0
    return float((10 * torch.log10(before[noisy] / error[noisy])).clamp(max=30).mean())


def save(denoiser: SnrAware, path: Path, card: dict[str, Any]) -> None:
    """Write weights (float16 safetensors) and, beside them, the card (JSON) that `load` needs."""
    checkpoint.save_tensors({k: v.half() for k, v in denoiser.net.state_dict().items()}, path)
    checkpoint.save_json({**denoiser.card, **card, "sha256": checkpoint.sha256(path)}, path.with_suffix(".json"))


def bundled() -> tuple[str, ...]:
    """Names of the models that ship with the package."""
    return tuple(sorted(p.stem for p in WEIGHTS.glob("*.safetensors")))


def load(model: str | Path | None = None, *, device: str = "cpu") -> SnrAware:
    """Load a bundled model by name, or a .safetensors file with its .json card beside it."""
    name = str(model or DEFAULT_MODEL)
    path = WEIGHTS / f"{name}.safetensors" if name in bundled() else Path(name)
    if not path.is_file():
        todo = "name a bundled model or a .safetensors file"
        raise InputError(f"a model among {', '.join(bundled()) or '(none bundled)'} or a file", name, todo)
    card_path = path.with_suffix(".json")
    if not card_path.is_file():
        raise InputError("a model card beside the weights", f"no {card_path}", "keep both files together")
    card, config = _read_card(card_path)
    if card.get("sha256") != checkpoint.sha256(path):
        raise InputError("weights that match their card", f"another SHA-256 in {path}", "take both from one training")
    net = SnrAwareNet(config)
    net.eval().to(device).to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    net.load_state_dict({k: v.float() for k, v in checkpoint.load_tensors(path).items()})
    return SnrAware(net, path.stem, card, device=device)


def _read_card(path: Path) -> tuple[dict[str, Any], NetConfig]:
    """A model's card, and the network that it describes. Raises InputError where it is no card."""
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
        return card, NetConfig(tuple(card["net"]["channels"]), card["net"]["cells"])
    except (ValueError, KeyError, TypeError) as error:
        todo = "keep the card that `clearmr train` wrote beside the weights"
        raise InputError("a model card with its network in JSON", f"{path} ({error!r})", todo) from error
