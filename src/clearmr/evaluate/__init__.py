"""Judging images: noise by pseudo-replicas, figures against a reference, what was removed, noise of a bare
image; volumetry."""

from clearmr.evaluate.brain_mask import brain_mask
from clearmr.evaluate.checks import Check
from clearmr.evaluate.denoiser_replicas import before_and_after, denoiser_gains, denoiser_replicas
from clearmr.evaluate.diffusion import DtiMaps, dti_errors, fit_dti, synthesised, white_matter
from clearmr.evaluate.label_names import LABEL_NAMES
from clearmr.evaluate.metrics import evaluate
from clearmr.evaluate.noise_level import NoiseEstimate, estimate_noise_sd
from clearmr.evaluate.pseudo_replica import (
    ReplicaResult,
    complex_noise,
    g_from_replicas,
    pseudo_replica,
    receiver_noise,
)
from clearmr.evaluate.regions import (
    ContrastGain,
    RegionGain,
    RegionGains,
    cnr,
    label_masks,
    region_gains,
)
from clearmr.evaluate.removed_noise import removed_noise
from clearmr.evaluate.sharpness import residual_structure, sharpness
from clearmr.evaluate.snr_units import MAX_SNR, SnrUnitFigures, in_snr_units
from clearmr.evaluate.statistics import PairedTest, paired_t_test, weighted_kappa, wilcoxon
from clearmr.evaluate.tissues import TISSUES, segment_tissues
from clearmr.evaluate.trust import trust, verdict_of
from clearmr.evaluate.volumetry import Overlap, dice, volumes_ml, volumetry

__all__ = [
    "LABEL_NAMES",
    "MAX_SNR",
    "TISSUES",
    "Check",
    "ContrastGain",
    "DtiMaps",
    "NoiseEstimate",
    "Overlap",
    "PairedTest",
    "RegionGain",
    "RegionGains",
    "ReplicaResult",
    "SnrUnitFigures",
    "before_and_after",
    "brain_mask",
    "cnr",
    "complex_noise",
    "denoiser_gains",
    "denoiser_replicas",
    "dice",
    "dti_errors",
    "estimate_noise_sd",
    "evaluate",
    "fit_dti",
    "g_from_replicas",
    "in_snr_units",
    "label_masks",
    "paired_t_test",
    "pseudo_replica",
    "receiver_noise",
    "region_gains",
    "removed_noise",
    "residual_structure",
    "segment_tissues",
    "sharpness",
    "synthesised",
    "trust",
    "verdict_of",
    "volumes_ml",
    "volumetry",
    "weighted_kappa",
    "white_matter",
    "wilcoxon",
]
