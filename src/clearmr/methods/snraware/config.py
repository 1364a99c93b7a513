"""Settings of SNRAware. Defaults of `NoiseConfig` are the paper's (Training data generation)."""

from dataclasses import dataclass, field
from typing import Literal

from clearmr.train.loop import LoopConfig


@dataclass(frozen=True)
class NoiseConfig:
    """What noise is drawn from. Fractions are of the k-space extent of an axis; sigma in units of the native noise."""

    sigma_max: float = 32.0
    gaussian: tuple[float, ...] = (0.8, 1.0, 1.5, 2.0, 2.25)
    gaussian_probability: float = 1.0
    partial_fourier: tuple[float, ...] = (1.0, 0.85, 0.7, 0.65, 0.55)
    partial_fourier_probability: float = 0.5
    resolution: tuple[float, ...] = (1.0, 0.85, 0.7, 0.65, 0.55)
    order: Literal["filter-then-g", "g-then-filter"] = "filter-then-g"
    white_probability: float = 0.0  # pairs whose noise no filter touches
    gmap_probability: float = 1.0  # otherwise the noise is the same everywhere
    clean_probability: float = 0.0  # noise-free pairs, so that a clean image is left alone
    told: Literal["noise_sd", "gmap"] = "noise_sd"  # what the network is told of the noise


@dataclass(frozen=True)
class NetConfig:
    """Which network: the U-net of residual 3x3x3 cells, or one of the paper's 14 (see `model.ARCHITECTURES`).

    channels per resolution level and cells per block. norm: "patch" is the paper's, which binds the network to
    64 x 64 tiles, "pixel" fits any size; the U-net of residual cells has none. image: "complex" (real, imaginary) or
    "magnitude". noise_map: whether the map of the noise SD (or g) is a channel of the input. pilots: whether two
    denoised images are too, another network's and the filter's after it (`refining.py`), of which the last is mended.
    """

    architecture: str = "unet-residual3d"
    channels: tuple[int, ...] = (32, 64, 128)
    cells: int = 2
    norm: Literal["patch", "pixel"] = "pixel"
    image: Literal["complex", "magnitude"] = "complex"
    noise_map: bool = True
    pilots: bool = False


@dataclass(frozen=True)
class DataConfig:
    """How patches are cut and varied."""

    patch: tuple[int, int, int] = (8, 64, 64)  # T, H, W
    batch: int = 4
    single_frame_probability: float = 0.25  # batches of T = 1, with T times as many patches
    native_snr: tuple[float, float] = (40.0, 2000.0)  # peak, log-uniform, before noise is added
    magnitude_probability: float = 0.25
    coil_arrays: int = 32  # simulated, whose g maps for R = 2..8 shape the noise
    synthetic: float = 0.3  # fraction of patches from dead-leaves images instead of the given data
    warped: float = 0.5  # of the patches of a prepared corpus: turned, zoomed, moved; with simulated g maps
    zeroed_background: float = 0.33  # of the magnitude patches, as vendors do
    signed: float = 0.0  # of a magnitude network's patches: real images with Gaussian noise, which may be negative
    lesions: float = 0.0  # of the noisy patches: small lesions of a few noise SDs put in
    volumes: float = 0.0  # of the patches: boxes of volumes, turned in three dimensions


@dataclass(frozen=True)
class LossConfig:
    """Weights of the four terms; the perceptual one needs the file of VGG16 weights that `vgg` names.

    Charbonnier's epsilon in SNR units: 1e-3 is nearly the mean modulus, 1 nearly the mean square of small errors.
    """

    epsilon: float = 1e-3
    charbonnier: float = 1.0
    perpendicular: float = 0.0
    gradient: float = 0.0
    perceptual: float = 0.0
    vgg: str = ""


@dataclass(frozen=True)
class SecondConfig:
    """What cases a second network learns from (`second.py`): how many, and which share of them is what.

    The rest are series with noise made on the fly. Series: one of `frames`, `size` squared; volumes: `side` cubed.
    """

    cases: int = 1000
    held_out: int = 32  # more of them, to validate on
    frames: tuple[int, ...] = (6, 10, 12, 12, 16)
    size: int = 96
    side: int = 64
    volumes: float = 0.08
    scans: float = 0.4  # series through simulated coils and our GRAPPA (`scanned.py`)
    signed: float = 0.6  # as `DataConfig.signed`, of series


@dataclass(frozen=True)
class SnrAwareConfig:
    """Everything `fit` needs beside the data and the seed."""

    noise: NoiseConfig = field(default_factory=NoiseConfig)
    net: NetConfig = field(default_factory=NetConfig)
    data: DataConfig = field(default_factory=DataConfig)
    second: SecondConfig = field(default_factory=SecondConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    loop: LoopConfig = field(default_factory=lambda: LoopConfig(steps=20000, bf16=True))
