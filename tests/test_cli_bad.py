"""The user's mistakes at the command line: exit code 2, one line that says what to do, nothing written."""

import contextlib
import io
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import ismrmrd
import numpy as np
import pytest
import torch
from ismrmrd.serialization import ProtocolSerializer

from clearmr.cli import main
from clearmr.scan import NoiseScan, RawScan
from cli_runs import done, raw_file, refused, run, scan, tiny_model


def no_noise() -> RawScan:
    return replace(scan(), noise=None)


def with_noise(**changes: object) -> RawScan:
    found = scan()
    assert found.noise is not None
    return replace(found, noise=replace(found.noise, **changes))


@pytest.fixture
def every_road(tmp_path: Path) -> Callable[..., None]:
    """Asserts that recon, denoise, snr and demo refuse one raw file, each with every one of the words."""

    def refuse(words: tuple[str, ...], path: Path, *options: str | Path, demo: bool = True) -> None:
        model = ("--model", tiny_model())
        roads = [("recon", path, "-o", tmp_path / "out.nii.gz", *options)]
        roads += [("denoise", path, "-o", tmp_path / "out.npz", "--report", *model, *options)]
        roads += [("snr", path, "-o", tmp_path / "snr.npz", *model, *options)]
        roads += [("demo", "--raw", path, "-o", tmp_path / "demo", *model)] * demo
        for road in roads:
            said = refused(tmp_path, *road)
            assert all(word in said for word in words), said

    return refuse


def test_no_noise_lines_offers_both_ways_out(tmp_path: Path, every_road: Callable[..., None]) -> None:
    every_road(("--noise-scan", "--estimate-noise"), raw_file(tmp_path / "a.h5", no_noise()), demo=False)


def test_both_ways_out_of_no_noise_lines_work(tmp_path: Path) -> None:
    path, other = raw_file(tmp_path / "a.h5", no_noise()), raw_file(tmp_path / "noise.h5")
    estimated = done("recon", path, "-o", tmp_path / "e.npz", "--estimate-noise")
    measured = done("recon", path, "-o", tmp_path / "m.npz", "--noise-scan", other)
    assert "estimated" in estimated.err and "warning" in estimated.err
    assert "noise measured" in measured.err


@pytest.mark.parametrize("of", ["data", "noise"])
def test_zero_dwell_time(tmp_path: Path, every_road: Callable[..., None], of: str) -> None:
    broken = replace(scan(), dwell_us=0.0) if of == "data" else with_noise(dwell_us=0.0)
    every_road(("dwell time", "--estimate-noise"), raw_file(tmp_path / "a.h5", broken), demo=False)


def test_a_single_coil_with_acceleration(tmp_path: Path, every_road: Callable[..., None]) -> None:
    every_road(("one coil",), raw_file(tmp_path / "a.h5", scan(n_coils=1)))


def test_an_acs_too_small_for_the_kernel(tmp_path: Path, every_road: Callable[..., None]) -> None:
    path = raw_file(tmp_path / "a.h5", scan(acceleration=4, acs=4))
    every_road(("ACS too small", "calibration lines"), path)


def test_all_zero_kspace(tmp_path: Path, every_road: Callable[..., None]) -> None:
    path = raw_file(tmp_path / "a.h5", replace(scan(), kspace=0 * scan().kspace, calibration=0 * scan().kspace))
    every_road(("zero",), path)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_samples_that_are_not_finite(tmp_path: Path, every_road: Callable[..., None], value: float) -> None:
    kspace = scan().kspace.clone()
    kspace[0, 1, 0, 20, 7] = value
    every_road(("finite",), raw_file(tmp_path / "a.h5", replace(scan(), kspace=kspace)))


def test_noise_samples_that_are_not_finite(tmp_path: Path, every_road: Callable[..., None]) -> None:
    samples = scan().noise.samples.clone()  # type: ignore[union-attr]
    samples[0, 3] = np.nan
    every_road(("finite",), raw_file(tmp_path / "a.h5", with_noise(samples=samples)))


@pytest.mark.parametrize("kept", [0.0, 0.1, 0.9])
def test_truncated_and_empty_files(tmp_path: Path, every_road: Callable[..., None], kept: float) -> None:
    whole = raw_file(tmp_path / "whole.h5").read_bytes()
    path = tmp_path / "a.h5"
    path.write_bytes(whole[: int(kept * len(whole))])
    every_road(("whole HDF5" if kept else "empty",), path)


def as_stream(path: Path, out: Path) -> Path:
    with ismrmrd.Dataset(str(path), mode="r") as file, ProtocolSerializer(str(out)) as stream:
        stream.serialize(ismrmrd.xsd.CreateFromDocument(file.read_xml_header()))
        for number in range(file.number_of_acquisitions()):
            stream.serialize(file.read_acquisition(number))
    return out


def test_a_stream_named_h5_works(tmp_path: Path) -> None:
    path = raw_file(tmp_path / "file.h5")
    done("recon", path, "-o", tmp_path / "a.npz")
    done("recon", as_stream(path, tmp_path / "stream.h5"), "-o", tmp_path / "b.npz")
    first, second = (np.load(tmp_path / name)["image"] for name in ("a.npz", "b.npz"))
    np.testing.assert_array_equal(first, second)


def test_a_stream_that_breaks_off(tmp_path: Path, every_road: Callable[..., None]) -> None:
    path = as_stream(raw_file(tmp_path / "file.h5"), tmp_path / "stream.h5")
    path.write_bytes(path.read_bytes()[:-100])
    every_road(("breaks off",), path)


def test_an_hdf5_file_with_external_links(tmp_path: Path, every_road: Callable[..., None]) -> None:
    secret = raw_file(tmp_path / "secret.h5")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["dataset"] = h5py.ExternalLink(secret, "dataset")
    every_road(("external link",), tmp_path / "a.h5")


def edit_header(path: Path, *changes: tuple[str, str]) -> Path:
    with h5py.File(path, "a") as file:
        text = file["dataset/xml"][0].decode()
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        file["dataset/xml"][0] = text.encode()
    return path


def test_a_header_that_claims_more_memory_than_the_file_holds(tmp_path: Path, every_road: Callable[..., None]) -> None:
    # Lines and samples that are there stay inside the matrix: only its size is absurd.
    path = edit_header(raw_file(tmp_path / "a.h5"), ("<y>40</y>", "<y>4000000</y>"), ("<z>1</z>", "<z>40000</z>"))
    every_road(("MiB",), path)


def test_a_trajectory_that_is_not_cartesian(tmp_path: Path, every_road: Callable[..., None]) -> None:
    path = edit_header(raw_file(tmp_path / "a.h5"), (">cartesian<", ">spiral<"))
    every_road(("spiral",), path)


def test_a_noise_scan_of_another_coil_count(tmp_path: Path, every_road: Callable[..., None]) -> None:
    path, other = raw_file(tmp_path / "a.h5", no_noise()), raw_file(tmp_path / "noise.h5", scan(n_coils=3))
    every_road(("3 noise coils",), path, "--noise-scan", other, demo=False)


def test_noise_lines_of_another_coil_count(tmp_path: Path, every_road: Callable[..., None]) -> None:
    noise = NoiseScan(scan(n_coils=3).noise.samples, 5.0)  # type: ignore[union-attr]
    path = raw_file(tmp_path / "a.h5", replace(scan(), noise=noise))
    every_road(("coil count",), path)


def test_a_noise_scan_that_is_an_image(tmp_path: Path) -> None:
    image = small_image(tmp_path)
    said = refused(tmp_path, "recon", raw_file(tmp_path / "a.h5"), "-o", tmp_path / "o.npz", "--noise-scan", image)
    assert "noise" in said


def small_image(folder: Path, **arrays: np.ndarray) -> Path:
    rng = np.random.default_rng(0)
    image = 10 + rng.normal(size=(1, 1, 24, 24)) + 1j * rng.normal(size=(1, 1, 24, 24))
    one = np.ones((1, 1, 1, 1))
    np.savez(folder / "image.npz", **{"image": image.astype(np.complex64), "noise_sd": one, "gmap": one, **arrays})
    return folder / "image.npz"


@pytest.mark.parametrize("command", ["recon", "denoise"])
@pytest.mark.parametrize("content", [b"hello, world\n" * 20, b"{}", b"\x89PNG\r\n\x1a\n" + bytes(64)])
def test_a_file_of_another_kind(tmp_path: Path, command: str, content: bytes) -> None:
    (tmp_path / "a.h5").write_bytes(content)
    said = refused(tmp_path, command, tmp_path / "a.h5", "-o", tmp_path / "o.npz", *model_of(command))
    assert "ISMRMRD" in said and "a.h5" in said


def model_of(command: str) -> tuple[str | Path, ...]:
    return ("--model", tiny_model()) if command in ("denoise", "snr", "demo") else ()


@pytest.mark.parametrize("command", ["recon", "denoise", "snr"])
def test_a_missing_input(tmp_path: Path, command: str) -> None:
    said = refused(tmp_path, command, tmp_path / "no.h5", "-o", tmp_path / "o.npz", *model_of(command))
    assert "no.h5" in said


def test_an_image_is_not_reconstructed(tmp_path: Path) -> None:
    assert "clearmr denoise" in refused(tmp_path, "recon", small_image(tmp_path), "-o", tmp_path / "o.npz")


COMMANDS_WITH_OUTPUT = {
    "simulate": ("simulate", "phantom"),
    "recon": ("recon", "raw.h5"),
    "denoise": ("denoise", "image.npz"),
    "snr": ("snr", "image.npz"),
    "report": ("report", "results"),
}


def output_of(command: str) -> str:
    return {"simulate": "o.h5", "report": "o.html"}.get(command, "o.npz")


def with_inputs(folder: Path, command: str) -> list[str | Path]:
    name, source = COMMANDS_WITH_OUTPUT[command]
    if source == "image.npz":
        small_image(folder)
    if source == "raw.h5":
        raw_file(folder / source)
    return [name, folder / source if command != "simulate" else source, *model_of(command)]


@pytest.mark.parametrize("command", COMMANDS_WITH_OUTPUT)
def test_an_existing_output_stays(tmp_path: Path, command: str) -> None:
    args = with_inputs(tmp_path, command)
    out = tmp_path / output_of(command)
    out.write_text("mine")
    assert "--force" in refused(tmp_path, *args, "-o", out)


@pytest.mark.parametrize("command", COMMANDS_WITH_OUTPUT)
def test_a_missing_folder(tmp_path: Path, command: str) -> None:
    args = with_inputs(tmp_path, command)
    assert "make the folder first" in refused(tmp_path, *args, "-o", tmp_path / "no" / output_of(command))


@pytest.mark.parametrize("command", [c for c in COMMANDS_WITH_OUTPUT if c != "report"])
@pytest.mark.parametrize("name", ["o.png", "o", ".npz.gz"])
def test_an_unknown_ending(tmp_path: Path, command: str, name: str) -> None:
    assert "ending in" in refused(tmp_path, *with_inputs(tmp_path, command), "-o", tmp_path / name)


@pytest.mark.parametrize("command", COMMANDS_WITH_OUTPUT)
def test_a_folder_that_may_not_be_written_to(tmp_path: Path, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    args = with_inputs(tmp_path, command)
    # Root may write anywhere, so the system's answer is stood in for.
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path or mode != os.W_OK)
    assert "can be written to" in refused(tmp_path, *args, "-o", tmp_path / output_of(command))


def test_a_disk_that_refuses_late(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez_compressed", full)
    said = refused(tmp_path, "denoise", small_image(tmp_path), "-o", tmp_path / "o.npz", "--model", tiny_model())
    assert "No space left" in said


def test_another_os_error_is_a_fault_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise OSError(9, "Bad file descriptor")

    monkeypatch.setattr(np, "savez_compressed", broken)
    image = small_image(tmp_path)
    with pytest.raises(OSError, match="Bad file"), contextlib.redirect_stderr(io.StringIO()):
        main(["denoise", str(image), "-o", str(tmp_path / "o.npz"), "--model", str(tiny_model())])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["image.npz"]


def test_maps_beside_a_nifti_are_not_overwritten_either(tmp_path: Path) -> None:
    image = small_image(tmp_path)
    (tmp_path / "o_gmap.nii.gz").write_text("mine")
    assert "o_gmap" in refused(tmp_path, "denoise", image, "-o", tmp_path / "o.nii.gz", "--model", tiny_model())


@pytest.mark.parametrize("taken", ["o_results", "o_report.html"])
def test_an_existing_report_stays(tmp_path: Path, taken: str) -> None:
    image = small_image(tmp_path)
    (tmp_path / taken).mkdir()
    said = refused(tmp_path, "denoise", image, "-o", tmp_path / "o.npz", "--model", tiny_model(), "--report")
    assert taken in said


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--method", "magic"], "magic"),
        (["--model", "no-such-model"], "no-such-model"),
        (["--noise-sd", "0"], "--noise-sd"),
        (["--noise-sd", "-1"], "--noise-sd"),
        (["--noise-sd", "nan"], "--noise-sd"),
        (["--noise-sd", "much"], "--noise-sd"),
        (["--noise-sd", "no.nii.gz"], "--noise-sd"),
        (["--noise-sd", "{wrong}"], "shape"),
        (["--noise-sd", "{zeros}"], "zeros"),
        (["--noise-sd", "1", "--estimate-noise"], "--estimate-noise"),
        (["--gmap", "{wrong}"], "shape"),
        (["--gmap", "{zeros}"], "zeros"),
        (["--gmap", "{negative}"], "positive"),
        (["--gmap", "{raw}"], "raw data"),
        (["--gmap", "{text}"], "text.txt"),
        (["--gmap", "no.nii.gz"], "no.nii.gz"),
        (["--noise-scan", "{raw}"], "--noise-scan"),
        (["--memory", "lots"], "--memory"),
        (["--memory", "0"], "--memory"),
        (["--memory", "-2G"], "--memory"),
        (["--memory", ""], "--memory"),
        (["--memory", "1K"], "memory"),
        (["--device", "tpu"], "--device"),
        (["--threads", "-1"], "--threads"),
        (["--threads", "two"], "--threads"),
        (["--no-such-option"], "--no-such-option"),
    ],
)
def test_bad_options_of_denoise(tmp_path: Path, options: list[str], said: str) -> None:
    files = {"raw": raw_file(tmp_path / "raw.h5"), "text": tmp_path / "text.txt"}
    files["text"].write_text("12\n")
    for name, values in (
        ("wrong", np.ones((1, 1, 7, 24))),
        ("zeros", np.zeros((1, 1, 24, 24))),
        ("negative", -np.ones((1, 1, 24, 24))),
    ):
        files[name] = tmp_path / f"{name}.npz"
        np.savez(files[name], image=values.astype(np.float32))
    image = small_image(tmp_path)
    model = () if "--model" in options else ("--model", tiny_model())
    filled = [option.format(**files) for option in options]
    assert said in refused(tmp_path, "denoise", image, "-o", tmp_path / "o.npz", *model, *filled)


def test_a_noise_map_of_zeros_in_the_image_itself(tmp_path: Path) -> None:
    image = small_image(tmp_path, noise_sd=np.zeros((1, 1, 1, 1)))
    said = refused(tmp_path, "denoise", image, "-o", tmp_path / "o.npz", "--model", tiny_model())
    assert "noise_sd" in said and "zero" in said


def test_an_image_of_zeros(tmp_path: Path) -> None:
    image = small_image(tmp_path, image=np.zeros((1, 1, 24, 24), np.float32))
    refused(tmp_path, "denoise", image, "-o", tmp_path / "o.npz", "--model", tiny_model())


def test_noise_and_g_of_raw_data_are_its_own(tmp_path: Path) -> None:
    raw = raw_file(tmp_path / "raw.h5")
    args = ("denoise", raw, "-o", tmp_path / "o.npz", "--model", tiny_model())
    assert "raw data" in refused(tmp_path, *args, "--noise-sd", "2")


def test_repeats_of_different_shape(tmp_path: Path) -> None:
    image = small_image(tmp_path)
    np.savez(tmp_path / "other.npz", image=np.ones((1, 1, 24, 20), np.complex64), noise_sd=np.ones(1))
    args = (image, tmp_path / "other.npz", "-o", tmp_path / "o.npz", "--model", tiny_model())
    assert "repeats" in refused(tmp_path, "denoise", *args)


@pytest.mark.parametrize(
    ("card", "said"),
    [
        (None, "card beside"),
        ("", "model card"),
        ("[]", "model card"),
        ("{}", "model card"),
        ('{"net": {"channels": [4, 8], "cells": 1}, "sha256": "0"}', "SHA-256"),
    ],
)
def test_a_model_that_is_not_whole(tmp_path: Path, card: str | None, said: str) -> None:
    model = tmp_path / "m.safetensors"
    model.write_bytes(tiny_model().read_bytes())
    if card is not None:
        model.with_suffix(".json").write_text(card)
    args = ("denoise", small_image(tmp_path), "-o", tmp_path / "o.npz", "--model", model)
    assert said in refused(tmp_path, *args)


def test_a_model_that_is_no_model(tmp_path: Path) -> None:
    image = small_image(tmp_path)
    (tmp_path / "image.json").write_text('{"net": {"channels": [4, 8], "cells": 1}}')
    assert "weights" in refused(tmp_path, "denoise", image, "-o", tmp_path / "o.npz", "--model", image)


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["simulate", "heart", "-o", "{o}/o.h5"], "heart"),
        (["simulate", "phantom", "-o", "{o}/o.h5", "--acceleration", "fast"], "--acceleration"),
        (["simulate", "phantom", "-o", "{o}/o.h5", "--acceleration", "0"], "--acceleration"),
        (["simulate", "phantom", "-o", "{o}/o.h5", "--noise-sd", "-1"], "noise_sd"),
        (["simulate", "phantom", "-o", "{o}/o.h5", "--matrix", "4"], "--matrix"),
        (["simulate", "phantom", "-o", "{o}/o.h5", "--coils", "0"], "coil"),
        (["simulate", "phantom", "-o", "{o}/o.h5", "--partial-fourier", "0.3"], "fraction"),
        (["simulate", "phantom"], "--out"),
        (["recon"], "raw"),
        (["recon", "a.h5", "-o", "{o}/o.npz", "--coil-maps", "magic"], "magic"),
        (["recon", "a.h5", "-o", "{o}/o.npz", "--kspace-filter", "-1"], "--kspace-filter"),
        (["report", "{o}", "-o", "{o}/r.html"], "results.json"),
        (["report", "{o}/no", "-o", "{o}/r.html"], "results folder"),
        (["evaluate", "--reference", "{o}/no.npz", "--test", "{o}/no.npz"], "no.npz"),
        (["models", "show", "no-such-model"], "no-such-model"),
        (["models"], "clearmr models --help"),
        (["bench", "no-such-bench"], "no-such-bench"),
        (["bench", "recon", "--json", "{o}/no/b.json"], "folder"),
        (["train", "magic", "-o", "{o}/run"], "magic"),
        (["train", "snraware", "-o", "{o}/run", "--preset", "huge"], "huge"),
        (["train", "snraware", "-o", "{o}/run", "--set", "loop.steps"], "--set"),
        (["train", "snraware", "-o", "{o}/run", "--set", "loop.speed=1"], "loop.steps"),
        (["train", "snraware", "-o", "{o}/run", "--set", "loop.steps=many"], "loop.steps"),
        (["train", "snraware", "-o", "{o}/run", "-d", "{o}/no"], "no"),
        (["train", "snraware", "-o", "{o}/run", "-d", "{o}"], "images to train on"),
        (["train", "snraware", "-o", "{o}/run", "--resume"], "resume"),
        (["train", "snraware", "-o", "{o}/no/run"], "folder"),
        (["demo", "-o", "{o}/no/demo"], "folder"),
        (["fly"], "fly"),
        (["--fly"], "--fly"),
    ],
)
def test_bad_command_lines(tmp_path: Path, args: list[str], said: str) -> None:
    assert said in refused(tmp_path, *[arg.format(o=tmp_path) for arg in args])


def test_raw_data_are_not_evaluated_or_trained_on(tmp_path: Path) -> None:
    raw = raw_file(tmp_path / "raw.h5")
    assert "clearmr recon" in refused(tmp_path, "evaluate", "--reference", raw, "--test", raw)
    assert "clearmr recon" in refused(tmp_path, "train", "snraware", "-o", tmp_path / "run", "-d", raw)


def test_a_second_demo_in_the_same_folder(tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text("mine")
    assert "report.html" in refused(tmp_path, "demo", "-o", tmp_path)


def test_a_noise_free_scan_is_refused(tmp_path: Path, every_road: Callable[..., None]) -> None:
    silent = scan(snr=None, noise_sd=0.0)
    assert not torch.any(silent.noise.samples)  # type: ignore[union-attr]
    every_road(("noise in every coil",), raw_file(tmp_path / "a.h5", silent))


def test_a_fault_of_ours_is_no_refusal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from clearmr import road

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(road, "save", broken)
    with pytest.raises(RuntimeError, match="a bug"):
        run("denoise", small_image(tmp_path), "-o", tmp_path / "o.npz", "--model", tiny_model())
