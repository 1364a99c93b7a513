"""A baseline as `clearmr denoise --method bm4d` runs it: part of the way, and no option taken that it has not."""

import dataclasses
from collections.abc import Sequence
from typing import Any, cast

from clearmr.baselines import load
from clearmr.denoiser import Denoiser
from clearmr.errors import InputError
from clearmr.scan import SnrImage


@dataclasses.dataclass(frozen=True)
class AtStrength:
    """original + strength (denoised - original); 0 gives the image back unchanged."""

    name: str
    baseline: Denoiser
    strength: float

    def __post_init__(self) -> None:
        if not 0 <= self.strength <= 1:
            raise InputError("--strength from 0 to 1", f"{self.strength:g}", "write for example 0.8; 1 is all of it")

    def __call__(self, image: SnrImage) -> SnrImage:
        done = self.baseline(image)
        *before, last = done.meta["steps"]
        meta = {**done.meta, "steps": [*before, {**last, "strength": self.strength}]}
        return dataclasses.replace(done, image=image.image.lerp(done.image, self.strength), meta=meta)


def ready(name: str, *, strength: float = 1.0, refused: Sequence[str] = (), **settings: Any) -> Denoiser:
    """A baseline with those of `settings` (seed, device, progress) that it knows.

    refused: options of networks that the user gave and no baseline has. Raises InputError for any, and as `load` does.
    """
    if refused:
        options = ", ".join(f"--{option}" for option in refused)
        raise InputError(f"--strength or no option for the peer {name}", options, "leave it out")
    baseline = load(name)
    known = {field.name for field in dataclasses.fields(baseline)}  # type: ignore[arg-type]
    taken = {key: value for key, value in settings.items() if key in known}
    return cast(Denoiser, AtStrength(name, load(name, **taken), strength))  # frozen, where the protocol could be set
