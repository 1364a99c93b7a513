"""MRD in HDF5: the acquisition table and header read at once, read-only, and nothing outside the file followed."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
from ismrmrd.hdf5 import acquisition_header_dtype, encoding_counters_dtype

from clearmr.errors import InputError
from clearmr.formats.checks import check_memory
from clearmr.formats.mrd_lines import shape_samples

MAGIC = b"\x89HDF\r\n\x1a\n"
ROWS_AT_ONCE = 4096


def _refuse_outside(where: h5py.Group) -> None:
    """Raise InputError where a group links to another file."""
    for name in where:
        if isinstance(where.get(name, getlink=True), h5py.ExternalLink):
            todo = "copy the data into one file (h5repack) if you trust it"
            raise InputError("an HDF5 file without external links", f"external link '{name}'", todo)


def hard_group(where: h5py.Group, name: str) -> h5py.Group | None:
    """The group `name` where it is one and no soft link."""
    if name not in where or not isinstance(where.get(name, getlink=True), h5py.HardLink):
        return None
    found = where[name]
    return found if isinstance(found, h5py.Group) else None


def hard_dataset(where: h5py.Group, name: str) -> h5py.Dataset | None:
    """The dataset `name` where there is one; raise InputError where its data lie in another file or behind a link."""
    if name not in where:
        return None
    if not isinstance(where.get(name, getlink=True), h5py.HardLink):
        raise InputError("data in the file itself", f"a link at '{name}'", "copy the data into one file (h5repack)")
    found = where[name]
    if not isinstance(found, h5py.Dataset):
        return None
    if found.external or found.is_virtual:
        todo = "copy the data into one file (h5repack) if you trust it"
        raise InputError("data in the file itself", f"external storage of '{name}'", todo)
    return found


@contextmanager
def open_readonly(path: Path) -> Iterator[h5py.File]:
    """The HDF5 file, read-only; what HDF5 cannot read inside the block raises InputError."""
    try:
        with h5py.File(path, "r") as file:
            yield file
    except InputError:
        raise
    except (OSError, RuntimeError, KeyError, ValueError, MemoryError, OverflowError) as error:
        found = f"{path.name} of {path.stat().st_size} bytes that HDF5 cannot read ({error})"
        raise InputError("a whole HDF5 file", found, "copy or export the file again") from error


def find_group(file: h5py.File, wanted: tuple[str, ...]) -> h5py.Group | None:
    """The first group that holds all of `wanted`, 'dataset' before others."""
    _refuse_outside(file)
    for name in sorted(file, key=lambda name: (name != "dataset", name)):
        group = hard_group(file, name)
        if group is not None:
            _refuse_outside(group)
            if all(item in group for item in wanted):
                return group
    return None


def read_xml(group: h5py.Group, file_bytes: int) -> bytes:
    """The XML header of an MRD group."""
    dataset = hard_dataset(group, "xml")
    if dataset is None or dataset.size < 1:
        raise InputError("an MRD group with an XML header", f"none in '{group.name}'", "export the scan again")
    check_memory(dataset.size * 16, file_bytes, f"{dataset.size} headers")
    value = dataset[()] if dataset.shape == () else dataset[0]
    return value.encode() if isinstance(value, str) else bytes(value)


def _check_heads(found: np.dtype, name: str) -> None:
    """Raise InputError unless `found` has the fields and kinds of MRD's acquisition header."""
    for given, wanted in ((found, acquisition_header_dtype), (_field(found, "idx"), encoding_counters_dtype)):
        for field in wanted.names or ():
            if field != "idx" and _field(given, field).base.kind != wanted[field].base.kind:
                raise InputError(
                    "MRD acquisition headers", f"no field '{field}' in '{name}/data'", "export the scan again"
                )


def _field(of: np.dtype, name: str) -> np.dtype:
    return of[name] if name in (of.names or ()) else np.dtype("V1")


def _rows(table: h5py.Dataset, heads: np.ndarray) -> Iterator[list[np.ndarray]]:
    for start in range(0, len(heads), ROWS_AT_ONCE):
        part = slice(start, min(start + ROWS_AT_ONCE, len(heads)))
        yield shape_samples(heads[part], list(table.fields("data")[part]), start)


def read_table(group: h5py.Group, file_bytes: int) -> tuple[np.ndarray, list[np.ndarray]]:
    """Acquisition headers, and samples (coil, sample) complex64 of each acquisition.

    Raises InputError where the headers claim more than the file can hold.
    """
    table = hard_dataset(group, "data")
    names = table.dtype.names if table is not None else None
    if table is None or table.ndim != 1 or not {"head", "data"} <= set(names or ()):
        raise InputError("an MRD acquisition table", f"'{group.name}/data' of another kind", "export the scan again")
    check_memory(table.shape[0] * table.dtype.itemsize, file_bytes, f"{table.shape[0]} acquisitions")
    heads = table.fields("head")[()]
    _check_heads(heads.dtype, group.name)
    claimed = 8 * int((heads["number_of_samples"].astype(np.int64) * heads["active_channels"]).sum())
    check_memory(claimed, file_bytes, "acquisition headers")
    return heads, [samples for part in _rows(table, heads) for samples in part]
