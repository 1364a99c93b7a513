"""The paper's training schemes (Evaluation, In-distribution test): what is left out of the proposed one."""

from dataclasses import replace

from clearmr.errors import InputError
from clearmr.methods.snraware.config import NoiseConfig, SnrAwareConfig

SCHEMES = ("proposed", "without-g", "without-mr-noise", "without-recon")


def scheme(config: SnrAwareConfig, name: str) -> SnrAwareConfig:
    """`config`, with what the scheme `name` of SCHEMES leaves out. Raises InputError for another name.

    proposed          as it is: complex, the noise map as input, noise that g and the filters shape
    without-g         the same noise, but no noise map among the inputs
    without-mr-noise  the noise map is an input, but the noise is white: no k-space filters. It still follows the map
                      (the paper leaves open whether it does; a map that says nothing true would not be left in)
    without-recon     magnitudes, no map, white noise that is the same everywhere: what a DICOM image knows of itself
    """
    if name == "proposed":
        return config
    if name == "without-g":
        return replace(config, net=replace(config.net, noise_map=False))
    if name == "without-mr-noise":
        return replace(config, noise=_white(config.noise))
    if name == "without-recon":
        return replace(
            config,
            noise=replace(_white(config.noise), gmap_probability=0.0),
            net=replace(config.net, image="magnitude", noise_map=False),
            data=replace(config.data, zeroed_background=0.0),
            loss=replace(config.loss, perpendicular=0.0),  # it is of phases
        )
    raise InputError(f"a scheme among {', '.join(SCHEMES)}", name, "choose one of them")


def _white(noise: NoiseConfig) -> NoiseConfig:
    return replace(noise, gaussian_probability=0.0, partial_fourier_probability=0.0, resolution=(1.0,))
