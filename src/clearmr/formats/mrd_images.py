"""MRD images in HDF5: the image, its g map and its noise SD as three series, tagged as Gadgetron tags them."""

from pathlib import Path
from typing import Any

import h5py
import ismrmrd
import numpy as np
import torch
from ismrmrd.hdf5 import image_header_dtype

from clearmr.errors import InputError
from clearmr.files import whole_file
from clearmr.formats.checks import check_memory
from clearmr.formats.mrd_hdf5 import hard_dataset, hard_group
from clearmr.formats.mrd_write import directions
from clearmr.formats.provenance import from_json, to_json
from clearmr.scan import SnrImage

# Gadgetron's DataRole and the scale it stores each with.
ROLES = {"Image": 1.0, "Gfactor": 100.0, "STD_MAP": 1000.0}
COMPLEX = np.dtype([("real", "<f4"), ("imag", "<f4")])


def _heads(image: SnrImage, series: int, count: int, data_type: int) -> np.ndarray:
    """Image headers of one series: a frame each, geometry by the affine."""
    heads = np.zeros(count, dtype=image_header_dtype)
    nz, ny, nx = image.image.shape[1:]
    heads["version"], heads["channels"], heads["data_type"] = 1, 1, data_type
    heads["matrix_size"] = (nx, ny, nz)
    heads["field_of_view"] = np.array(image.spacing[::-1]) * (nx, ny, nz)
    complex_type = data_type == ismrmrd.DATATYPE_CXFLOAT
    heads["image_type"] = ismrmrd.IMTYPE_COMPLEX if complex_type else ismrmrd.IMTYPE_MAGNITUDE
    heads["image_index"], heads["image_series_index"] = np.arange(1, count + 1), series
    heads["repetition"] = np.arange(count)
    if image.affine is not None:
        axes, positions = directions(image.affine, (nz, ny, nx), 1)
        heads["position"] = positions[0]
        for name, axis in zip(("read_dir", "phase_dir", "slice_dir"), axes, strict=True):
            heads[name] = axis
    return heads


def _attributes(role: str, image: SnrImage) -> str:
    meta = {"DataRole": role, "noise_source": image.noise_source, "spacing": [float(s) for s in image.spacing]}
    if image.affine is not None:
        meta["affine"] = image.affine.tolist()
    return ismrmrd.Meta({"DataRole": role, "clearmr": to_json({**meta, "meta": dict(image.meta)})}).serialize()


def _write_series(group: h5py.Group, image: SnrImage, series: int, role: str, values: np.ndarray) -> None:
    is_complex = np.iscomplexobj(values)
    kind = ismrmrd.DATATYPE_CXFLOAT if is_complex else ismrmrd.DATATYPE_FLOAT
    heads = _heads(image, series, len(values), kind)
    text = _attributes(role, image)
    heads["attribute_string_len"] = len(text)
    stored = np.ascontiguousarray(values[:, None])
    group.create_dataset("header", data=heads, maxshape=(None,), chunks=True)
    attributes = group.create_dataset(
        "attributes", (len(values),), dtype=h5py.special_dtype(vlen=str), maxshape=(None,)
    )
    attributes[...] = text
    stored = stored.view(COMPLEX) if is_complex else stored
    group.create_dataset("data", data=stored, maxshape=(None, *stored.shape[1:]), chunks=(1, *stored.shape[1:]))


def save(image: SnrImage, path: Path, *, keep_complex: bool = False, force: bool = False) -> list[Path]:
    """Write the image, gmap (x 100) and noise_sd (x 1000) as MRD image series. Complex images stay complex."""
    parts = {"Image": image.image, "Gfactor": image.gmap, "STD_MAP": image.noise_sd}
    with whole_file(path, force=force) as temporary, h5py.File(temporary, "w") as file:
        for series, (role, values) in enumerate(parts.items()):
            dtype = torch.complex64 if values.is_complex() else torch.float32
            # A map that does not vary is written whole: other tools know no broadcasting.
            whole = values if role == "Image" else values.expand(values.shape[0], *image.image.shape[1:])
            scaled = (whole.detach().cpu() * ROLES[role]).to(dtype).numpy()
            _write_series(file.create_group(f"dataset/image_{series}"), image, series, role, scaled)
    return [path]


def _series(group: h5py.Group, file_bytes: int) -> tuple[str, np.ndarray, dict[str, Any]]:
    data, attributes = hard_dataset(group, "data"), hard_dataset(group, "attributes")
    if data is None or attributes is None or data.ndim != 5 or data.shape[1] != 1 or not data.shape[0]:
        raise InputError("MRD images of one channel", f"'{group.name}' of another kind", "combine the coils first")
    check_memory(data.size * data.dtype.itemsize, file_bytes, f"images {data.shape}")
    values = data[:, 0]
    if values.dtype.names:
        values = np.ascontiguousarray(values).view(np.complex64 if values.dtype.itemsize == 8 else np.complex128)
    text = attributes[0]
    meta = ismrmrd.Meta.deserialize(_plain_xml(text.decode() if isinstance(text, bytes) else str(text)))
    said = from_json(meta["clearmr"], group.name) if isinstance(meta.get("clearmr"), str) else {}
    role = meta.get("DataRole", "Image")
    return role if isinstance(role, str) else str(role[0]), values, said


def _plain_xml(text: str) -> str:
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise InputError("plain MRD attributes", "a document type declaration in the XML", "remove it")
    return text


def _tensor(values: np.ndarray, scale: float) -> torch.Tensor:
    dtype = np.complex64 if np.iscomplexobj(values) else np.float32
    return torch.from_numpy(np.ascontiguousarray(values, dtype=dtype)) / scale


def read(group: h5py.Group, file_bytes: int) -> SnrImage:
    """The images of an MRD group as an SnrImage; noise "unknown" where no STD_MAP says it. Raises InputError."""
    found: dict[str, tuple[torch.Tensor, dict[str, Any]]] = {}
    for name in sorted(n for n in group if n.startswith("image_")):
        series = hard_group(group, name)
        if series is not None:
            role, values, said = _series(series, file_bytes)
            found.setdefault(role, (_tensor(values, ROLES.get(role, 1.0)), said))
    if "Image" not in found:
        raise InputError("an MRD image series with DataRole Image", f"{sorted(found)}", "write the images again")
    image, said = found["Image"]
    if not torch.isfinite(torch.view_as_real(image) if image.is_complex() else image).all():
        raise InputError("finite voxels", "NaN or infinite voxels in the MRD images", "mask or export them again")
    ones = torch.ones((1, 1, 1, 1))
    gmap, noise_sd = (found[role][0] if role in found else ones for role in ("Gfactor", "STD_MAP"))
    affine = np.array(said["affine"], dtype=float) if "affine" in said else None
    source = said.get("noise_source", "given") if "STD_MAP" in found else "unknown"
    spacing = tuple(float(s) for s in said.get("spacing", (1.0, 1.0, 1.0)))
    meta = dict(said.get("meta", {}))
    return SnrImage(image, noise_sd, gmap, source, spacing, affine, None, meta)  # type: ignore[arg-type]
