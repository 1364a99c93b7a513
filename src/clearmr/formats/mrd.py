"""ISM(RM)RD: raw scans and images in HDF5, and the stream form; told apart by content."""

from pathlib import Path

import numpy as np

from clearmr.errors import InputError
from clearmr.formats import mrd_images
from clearmr.formats.assemble import assemble
from clearmr.formats.lines import Lines, ScanHeader
from clearmr.formats.mrd_hdf5 import MAGIC, find_group, open_readonly, read_table, read_xml
from clearmr.formats.mrd_header import check_trajectory, read_header
from clearmr.formats.mrd_lines import make_lines
from clearmr.formats.mrd_stream import is_stream, read_stream
from clearmr.formats.noise import noise_of
from clearmr.scan import NoiseScan, RawScan, SnrImage

NAME = "MRD"
KIND = "ISMRMRD (HDF5 or stream)"
ENDINGS = (".h5", ".mrd")

save = mrd_images.save


def sniff(path: Path) -> bool:
    """Whether the file is HDF5 or an MRD stream, by its first bytes."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        start = file.read(1100)
    return start.startswith(MAGIC) or start[512:520] == MAGIC or is_stream(start)


def _read_hdf5(path: Path) -> tuple[bytes, np.ndarray, list[np.ndarray]] | SnrImage:
    size = path.stat().st_size
    with open_readonly(path) as file:
        group = find_group(file, ("xml", "data"))
        if group is not None:
            return read_xml(group, size), *read_table(group, size)
        images = find_group(file, ("image_0",))
        if images is not None:
            return mrd_images.read(images, size)
        found = f"HDF5 with {', '.join(sorted(file)[:8]) or 'nothing'}"
    raise InputError("an MRD file (a group with 'xml' and 'data')", f"{path.name}: {found}", "convert the scan to MRD")


def _read(path: Path) -> tuple[ScanHeader, Lines] | SnrImage:
    with path.open("rb") as file:
        stream = is_stream(file.read(1100))
    parts = read_stream(path) if stream else _read_hdf5(path)
    if isinstance(parts, SnrImage):
        return parts
    xml, heads, samples = parts
    header = read_header(xml)
    epi = header.spaces[0].trajectory == "epi"
    return header, make_lines(heads, samples, epi=epi)


def load(path: Path) -> RawScan | SnrImage:
    """A raw scan (receiver's units), or images of known noise that `save` wrote. Raises InputError."""
    parts = _read(path)
    if isinstance(parts, SnrImage):
        return parts
    header, lines = parts
    check_trajectory(header.spaces[0])
    return assemble(lines, header)


def load_noise(path: Path) -> tuple[NoiseScan | None, tuple[str, ...]]:
    """The noise readouts of an MRD file, and its coil labels."""
    parts = _read(path)
    if isinstance(parts, SnrImage):
        return None, ()
    header, lines = parts
    return noise_of(lines), header.coil_labels
