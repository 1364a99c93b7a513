"""The perceptual loss: L1 of VGG16 features of magnitudes (Johnson et al. 2016). Its weights are the user's file."""

import hashlib
import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from clearmr.axes import Net5D
from clearmr.errors import InputError

HASH = "397923af"  # SHA-256 of torchvision's vgg16-397923af.pth begins so
# The numbers of torchvision's `features`: convolutions, and where a block is pooled before the next one.
CONVOLUTIONS = {0: (3, 64), 2: (64, 64), 5: (64, 128), 7: (128, 128), 10: (128, 256), 12: (256, 256), 14: (256, 256),
                17: (256, 512), 19: (512, 512), 21: (512, 512)}  # fmt: skip
POOLED_BEFORE = (5, 10, 17)
TAKEN_AFTER = (2, 7, 14, 21)  # relu1_2, relu2_2, relu3_3, relu4_3
MEAN, SD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of the pictures that VGG16 learnt from
SMALLEST = 8  # pixels: three poolings


class Vgg16(nn.Module):
    """(N, 3, H, W) -> its features after relu1_2, relu2_2, relu3_3 and relu4_3 (Simonyan & Zisserman 2015)."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.ModuleDict({str(k): nn.Conv2d(*c, 3, padding=1) for k, c in CONVOLUTIONS.items()})

    def forward(self, pictures: Tensor) -> list[Tensor]:
        taken = []
        for index in CONVOLUTIONS:
            pictures = F.max_pool2d(pictures, 2) if index in POOLED_BEFORE else pictures
            pictures = F.relu(self.features[str(index)](pictures))
            if index in TAKEN_AFTER:
                taken.append(pictures)
        return taken


class PerceptualLoss:
    """`loss(X, Y)`: mean L1 difference of the features of |X| and |Y|, summed over the four layers; no unit.

    Magnitudes (B, C, T, H, W), frame by frame, are divided by the target's maximum over its series, then given VGG16's
    mean and SD in three equal channels. H and W are at least 8. The network is frozen and follows the data's device.
    """

    def __init__(self, vgg: Vgg16) -> None:
        self.vgg = vgg.eval().requires_grad_(False)

    def __call__(self, prediction: Net5D, target: Net5D) -> Tensor:
        if min(target.shape[-2:]) < SMALLEST:
            todo = "take larger patches or set loss.perceptual=0"
            raise InputError(f"at least {SMALLEST} x {SMALLEST} pixels", f"{tuple(target.shape[-2:])}", todo)
        self.vgg.to(target.device)
        size = target.square().sum(1).sqrt().amax((1, 2, 3)).clamp_min(1e-12)
        found = self.vgg(_pictures(prediction, size))
        with torch.no_grad():
            wanted = self.vgg(_pictures(target, size))
        return torch.stack([F.l1_loss(a, b) for a, b in zip(found, wanted, strict=True)]).sum()


def _pictures(image: Tensor, size: Tensor) -> Tensor:
    """(B, C, T, H, W) -> (B T, 3, H, W): magnitudes over `size` (B,), whitened as VGG16 expects."""
    scaled = image / size[:, None, None, None, None]
    magnitude = torch.sqrt(scaled.square().sum(1) + 1e-12).flatten(0, 1)[:, None]  # 1e-12: a gradient at 0
    mean, sd = (magnitude.new_tensor(v)[None, :, None, None] for v in (MEAN, SD))
    return (magnitude - mean) / sd


def load_vgg16(path: str | Path) -> Vgg16:
    """VGG16 from a .safetensors file or a PyTorch state dict with torchvision's names (`features.0.weight` ...).

    A warning says where the file's SHA-256 is not that of torchvision's weights. Raises InputError where the file is
    missing, unreadable or holds another network.
    """
    file, todo = Path(path), "name torchvision's vgg16-397923af.pth by loss.vgg=FILE or set loss.perceptual=0"
    if not str(path) or not file.is_file():
        raise InputError("a file of VGG16 weights for the perceptual loss", str(path) or "none named", todo)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    if not digest.startswith(HASH):
        warnings.warn(f"{file}: SHA-256 {digest[:8]}..., torchvision's VGG16 has {HASH}...", stacklevel=2)
    wanted, found = Vgg16(), _read(file, todo)
    shapes = {name: value.shape for name, value in wanted.state_dict().items()}
    wrong = [name for name, shape in shapes.items() if name not in found or found[name].shape != shape]
    if wrong:
        raise InputError("weights of VGG16", f"no {wrong[0]} of shape {tuple(shapes[wrong[0]])} in {file}", todo)
    wanted.load_state_dict({name: found[name].float() for name in shapes})
    return wanted


def _read(file: Path, todo: str) -> Mapping[str, Tensor]:
    try:
        if file.suffix == ".safetensors":
            return load_file(file)
        read = torch.load(file, map_location="cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, KeyError, ValueError) as error:
        raise InputError("VGG16 weights", f"{file} ({type(error).__name__})", todo) from error
    return read if isinstance(read, Mapping) else {}
