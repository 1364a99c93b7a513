"""Each thing that can be wrong with a file is one clear line, and nothing is written."""

import os
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import ismrmrd
import numpy as np
import pytest
from ismrmrd.hdf5 import acquisition_dtype

from clearmr import formats
from clearmr.errors import InputError
from test_formats_build import Line, encoding, full_scan, header, limit, random_lines, write

NOISE = ismrmrd.ACQ_IS_NOISE_MEASUREMENT


def refusal(path: Path, **options: Path) -> str:
    before = sorted(p.name for p in path.parent.iterdir())
    with pytest.raises(InputError) as caught:
        formats.load(path, **options)
    assert sorted(p.name for p in path.parent.iterdir()) == before
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_missing_file_is_not_made(tmp_path: Path) -> None:
    assert "existing file" in refusal(tmp_path / "no.h5")


def test_a_folder(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    assert "folder" in refusal(tmp_path / "d")


@pytest.mark.parametrize("name", ["a.h5", "a.dat", "a.nii.gz", "a.npz", "a"])
def test_an_empty_file(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    assert "empty" in refusal(tmp_path / name)


@pytest.mark.parametrize("content", [b"GIF89a" + bytes(100), b"x", b"\x00" * 600, b"PK\x05\x06" + bytes(18)])
def test_an_unknown_kind_of_file_says_its_first_bytes(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.h5").write_bytes(content)
    said = refusal(tmp_path / "a.h5")
    assert repr(content[:8]) in said and "ISMRMRD" in said and "NIfTI" in said and "twix" in said


def test_a_fifo_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.h5")
    assert "regular file" in refusal(tmp_path / "a.h5")


@pytest.mark.parametrize("kept", [0.02, 0.3, 0.6, 0.95])
def test_a_truncated_hdf5_file(tmp_path: Path, kept: float) -> None:
    path = write(tmp_path / "a.h5", full_scan())
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept * len(whole))])
    assert "whole HDF5" in refusal(path)


def test_every_cut_and_many_flipped_bytes_end_in_one_line_or_in_a_scan(tmp_path: Path) -> None:
    path = write(tmp_path / "a.h5", full_scan(coils=1, ny=4, nx=4), header(encoding(4, 4)))
    whole, rng = path.read_bytes(), np.random.default_rng(0)
    for _ in range(60):
        damaged = bytearray(whole)
        for at in rng.integers(0, len(whole), 8):
            damaged[at] = int(rng.integers(256))
        path.write_bytes(bytes(damaged))
        try:
            formats.load(path)
        except InputError as error:
            assert "\n" not in str(error)


def test_an_hdf5_file_of_another_kind_says_what_is_in_it(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["kspace"] = np.zeros(3)
    assert "kspace" in refusal(tmp_path / "a.h5")


@pytest.mark.parametrize("where", ["/", "dataset", "dataset/data", "dataset/xml"])
def test_external_links(tmp_path: Path, where: str) -> None:
    secret = write(tmp_path / "secret.h5", full_scan())
    path = tmp_path / "a.h5" if where == "/" else write(tmp_path / "a.h5", full_scan())
    with h5py.File(path, "a") as file:
        if where == "dataset/data" or where == "dataset/xml":
            del file[where]
            file[where] = h5py.ExternalLink(secret, where)
        else:
            file[f"{where}/more" if where != "/" else "dataset"] = h5py.ExternalLink(secret, "dataset")
    assert "external link" in refusal(path)


def test_external_storage_and_virtual_and_soft_links(tmp_path: Path) -> None:
    (tmp_path / "raw").write_bytes(b"secret" * 1000)
    path = write(tmp_path / "a.h5", full_scan())
    with h5py.File(path, "a") as file:
        del file["dataset/data"]
        outside = [(str(tmp_path / "raw"), 0, 1000)]
        file["dataset"].create_dataset("data", (10,), dtype="u1", external=outside)
    assert "external storage" in refusal(path)
    with h5py.File(path, "a") as file:
        del file["dataset/data"]
        layout = h5py.VirtualLayout((10,), dtype="u1")
        layout[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "x", (10,))
        file["dataset"].create_virtual_dataset("data", layout)
    assert "external storage" in refusal(path)
    with h5py.File(path, "a") as file:
        del file["dataset/data"]
        file["dataset/data"] = h5py.SoftLink("/dataset/xml")
    assert "link at 'data'" in refusal(path)


@pytest.mark.parametrize(
    "xml",
    [
        "",
        "not xml",
        header()[:300],
        header().replace("<x>16</x>", "<x>sixteen</x>"),
        header().replace("encodedSpace>", "elsewhere>"),
        header().replace("<x>16</x>", "<x>0</x>"),
        header().replace("<trajectory>cartesian</trajectory>", ""),
        header().replace("<ismrmrdHeader", "<!DOCTYPE a [<!ENTITY b 'c'>]><ismrmrdHeader"),
        header(" "),
    ],
)
def test_a_malformed_header(tmp_path: Path, xml: str) -> None:
    said = refusal(write(tmp_path / "a.h5", full_scan(), xml or " "))
    assert "header" in said or "matrix" in said or "trajectory" in said


def test_elements_of_newer_headers_are_passed_over(tmp_path: Path) -> None:
    xml = header().replace("<trajectory>", "<newer>1</newer><trajectory>")
    assert formats.load(write(tmp_path / "a.h5", full_scan(), xml)) is not None


@pytest.mark.parametrize("name", ["radial", "spiral", "goldenangle", "other"])
def test_a_trajectory_that_is_not_cartesian_is_named(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / "a.h5", full_scan(), header(encoding(trajectory=name)))
    assert f"'{name}'" in refusal(path)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, np.nan * 1j])
def test_samples_that_are_not_finite_name_their_acquisition(tmp_path: Path, value: complex) -> None:
    lines = full_scan()
    data = lines[7].data.copy()
    data[1, 3] = value
    lines[7] = replace(lines[7], data=data)
    assert "acquisition 7" in refusal(write(tmp_path / "a.h5", lines))


def test_large_finite_samples_are_no_error(tmp_path: Path) -> None:
    lines = [replace(x, data=np.full_like(x.data, 3e38)) for x in full_scan()]
    assert formats.load(write(tmp_path / "a.h5", lines)) is not None


def test_nan_in_noise_lines(tmp_path: Path) -> None:
    noise = Line(np.full((2, 8), np.nan), flags=(NOISE,))
    assert "acquisition 0" in refusal(write(tmp_path / "a.h5", [noise, *full_scan()]))


def test_all_zero_kspace(tmp_path: Path) -> None:
    lines = [replace(x, data=0 * x.data) for x in full_scan()]
    assert "all-zero" in refusal(write(tmp_path / "a.h5", lines))


def test_no_imaging_acquisitions(tmp_path: Path) -> None:
    assert "imaging" in refusal(write(tmp_path / "a.h5", [Line(random_lines((2, 8)), flags=(NOISE,))]))


@pytest.mark.parametrize("place", [{"k1": 12}, {"k1": 500}, {"k2": 1}])
def test_counters_outside_the_encoded_matrix(tmp_path: Path, place: dict[str, int]) -> None:
    lines = [*full_scan(), Line(random_lines((2, 16)), **place)]
    assert "counters inside the encoded matrix" in refusal(write(tmp_path / "a.h5", lines))


def test_counters_outside_are_told_with_their_axis(tmp_path: Path) -> None:
    said = refusal(write(tmp_path / "a.h5", [*full_scan(), Line(random_lines((2, 16)), 500)]))
    assert "k1 500 of 12" in said


def test_a_centre_sample_that_pushes_samples_outside(tmp_path: Path) -> None:
    lines = [replace(x, head={"center_sample": 3}) for x in full_scan()]
    assert "center_sample" in refusal(write(tmp_path / "a.h5", lines))


def test_channel_counts_that_differ(tmp_path: Path) -> None:
    lines = [*full_scan(), Line(random_lines((3, 16)), 4, idx={"repetition": 1})]
    assert "[2, 3]" in refusal(write(tmp_path / "a.h5", lines))


def test_noise_of_another_coil_count(tmp_path: Path) -> None:
    noise = Line(random_lines((3, 20)), flags=(NOISE,))
    assert "3 noise coils and 2 data coils" in refusal(write(tmp_path / "a.h5", [noise, *full_scan()]))
    second = write(tmp_path / "n.h5", [noise])
    assert "3 noise coils" in refusal(write(tmp_path / "b.h5", full_scan()), noise_scan=second)


def test_a_noise_scan_without_noise(tmp_path: Path) -> None:
    path = write(tmp_path / "a.h5", full_scan())
    assert "noise acquisitions" in refusal(path, noise_scan=path)


def test_a_header_that_claims_more_memory_than_the_file_holds(tmp_path: Path) -> None:
    xml = header(encoding(60000, 60000, 60000, limits=limit(1, 59999, 30000)))
    assert "MiB" in refusal(write(tmp_path / "a.h5", full_scan(), xml))
    many = [Line(x.data, x.k1, idx={"repetition": 60 * r}) for r in range(20) for x in full_scan()[:1]]
    assert "MiB" in refusal(
        write(
            tmp_path / "b.h5",
            many,
            header(
                encoding(
                    2048,
                    2048,
                )
            ),
        )
    )


def test_a_table_of_more_rows_than_the_file_can_hold(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("dataset/xml", data=np.array([header().encode()], dtype=object), dtype=h5py.string_dtype())
        file.create_dataset("dataset/data", (10**9,), dtype=acquisition_dtype, chunks=(1000,))
    assert "MiB" in refusal(path)


def test_an_acquisition_whose_samples_do_not_fit_its_header(tmp_path: Path) -> None:
    path = write(tmp_path / "a.h5", full_scan())
    with h5py.File(path, "a") as file:
        row = file["dataset/data"][5]
        row["head"]["number_of_samples"] = 99
        file["dataset/data"][5] = row
    assert "acquisition 5" in refusal(path)


def test_a_stream_that_claims_a_huge_header_or_an_unknown_message(tmp_path: Path) -> None:
    (tmp_path / "a.h5").write_bytes(struct.pack("<HI", 3, 2**32 - 1) + b"<xml" + bytes(100))
    assert "MRD stream" in refusal(tmp_path / "a.h5")
    text = header().encode()
    (tmp_path / "b.h5").write_bytes(struct.pack("<HI", 3, len(text)) + text + struct.pack("<H", 999))
    assert "999" in refusal(tmp_path / "b.h5")


@pytest.mark.parametrize("kept", [5000, 20000, 0.3, 0.7, 0.999])
def test_a_truncated_twix_file(tmp_path: Path, kept: float, shared_data: Callable[[str], Path]) -> None:
    whole = shared_data("raw_phantom_2ch_two_repetitions/gre_1rep.dat").read_bytes()
    path = tmp_path / "a.dat"
    path.write_bytes(whole[: int(kept if kept > 1 else kept * len(whole))])
    assert "twix" in refusal(path)


def test_twix_with_flipped_bytes_ends_in_one_line_or_in_a_scan(
    tmp_path: Path, shared_data: Callable[[str], Path]
) -> None:
    whole = shared_data("raw_phantom_32ch/phantom32ch_se2d_64.dat").read_bytes()
    path, rng = tmp_path / "a.dat", np.random.default_rng(1)
    for trial in range(6):
        damaged = bytearray(whole)
        span = (0, 20000) if trial % 2 else (0, len(whole))
        for at in rng.integers(*span, 40):
            damaged[at] = int(rng.integers(256))
        path.write_bytes(bytes(damaged))
        try:
            formats.load(path)
        except InputError as error:
            assert "\n" not in str(error)
