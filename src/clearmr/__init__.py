"""ClearMR removes noise from MR images and says how far its result can be trusted.

>>> import clearmr
>>> image = clearmr.reconstruct(clearmr.load("scan.h5"))      # doctest: +SKIP
>>> clearmr.save(clearmr.denoise(image), "clean.nii.gz")       # doctest: +SKIP

Importing this package is fast: torch is imported where it is used.
"""

from typing import Any

__version__ = "0.1.0"
__all__ = ["denoise", "load", "reconstruct", "save"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from clearmr import road

        return getattr(road, name)
    raise AttributeError(f"module 'clearmr' has no attribute {name!r}")
