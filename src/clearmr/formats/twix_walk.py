"""A look through a twix file before twixtools reads it: it trusts lengths that a damaged file gets wrong."""

import ctypes
import struct
from pathlib import Path
from typing import BinaryIO

from clearmr.errors import InputError

RAID_ENTRIES, RAID_ENTRY = 64, struct.Struct("<IIQQ64s64s")
SMALLEST_HEADER = 1024  # a VB file begins with the length of its protocol


def is_raid(start: bytes) -> bool:
    """VD/VE/XA: a table of measurements comes first."""
    if len(start) < 8:
        return False
    first, count = struct.unpack_from("<II", start)
    return first < 10000 and 1 <= count <= RAID_ENTRIES


def _damaged(path: Path, what: str) -> InputError:
    return InputError("a whole twix file", f"{path.name}: {what}", "copy or export the file again")


def measurements(file: BinaryIO, path: Path) -> list[tuple[int, int]]:
    """(start, stop) byte of each measurement. Raises InputError where one lies beyond the file."""
    size = path.stat().st_size
    start = file.read(8)
    if not is_raid(start):
        return [(0, size)]
    found = []
    for _ in range(struct.unpack_from("<II", start)[1]):
        entry = file.read(RAID_ENTRY.size)
        if len(entry) < RAID_ENTRY.size:
            raise _damaged(path, "it ends in the table of measurements")
        _, _, offset, length, _, _ = RAID_ENTRY.unpack(entry)
        if offset < 8 or offset + max(length, 8) > size:
            raise _damaged(path, f"{size} bytes, but a measurement reaches to byte {offset + length}")
        found.append((offset, offset + length if length else size))
    return found


def check_whole(path: Path) -> None:
    """Raise InputError unless every measurement is a chain of readouts that ends with its end mark."""
    with path.open("rb") as file:
        for start, stop in measurements(file, path):
            file.seek(0)
            _walk(file, path, start, stop, raid=is_raid(file.read(8)))


def _walk(file: BinaryIO, path: Path, start: int, stop: int, *, raid: bool) -> None:
    from twixtools import mdh_def  # not above: it takes a second, and any file is asked whether it is twix

    kind = mdh_def.Scan_header if raid else mdh_def.VB17_header
    per_channel = ctypes.sizeof(mdh_def.Channel_header if raid else mdh_def.VB17_header)
    once = ctypes.sizeof(kind) if raid else 0
    file.seek(start)
    position = start + struct.unpack("<I", file.read(4))[0]
    while position + ctypes.sizeof(kind) <= stop:
        file.seek(position)
        head = kind.from_buffer_copy(file.read(ctypes.sizeof(kind)))
        if mdh_def.is_flag_set(head, "ACQEND"):
            return
        length = int(mdh_def.get_dma_len(head))
        if not mdh_def.is_flag_set(head, "SYNCDATA"):
            length = once + head.UsedChannels * (per_channel + 8 * head.SamplesInScan)
        if length <= once or position + length > stop:
            break
        position += length
    raise _damaged(path, f"the readouts break off at byte {position} of {stop}")
