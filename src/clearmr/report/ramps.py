"""Colour ramps of the report: 256 colours each, from few stops, so that no plotting library is needed."""

import numpy as np

# Dark at zero, equally bright at both ends: noise is a dim speckle, anatomy that was removed shines.
DIFFERENCE = ("#8fd0ff", "#3a86c8", "#1d4568", "#0b0d10", "#70401a", "#cf7a2c", "#ffc98a")
# Rising lightness, readable with any colour vision (anchors near matplotlib's "viridis").
GMAP = ("#440154", "#46307e", "#365c8d", "#277f8e", "#1fa187", "#4ac16d", "#a0da39", "#fde725")


def ramp(stops: tuple[str, ...], n: int = 256) -> np.ndarray:
    """`n` colours (n, 3) uint8, linear in sRGB between `stops` (#rrggbb), which are evenly spaced."""
    rgb = np.array([[int(stop[i : i + 2], 16) for i in (1, 3, 5)] for stop in stops], dtype=float)
    at = np.linspace(0, 1, n)
    positions = np.linspace(0, 1, len(stops))
    return np.stack([np.interp(at, positions, channel) for channel in rgb.T], -1).round().astype(np.uint8)


def ramp_hex(stops: tuple[str, ...]) -> str:
    """The 256 colours as one string of 1536 hex digits, as layers.js reads it."""
    return ramp(stops).tobytes().hex()
