"""Pictures of reader studies: hung as radiologists read, one scale for all arms, without loss."""

import base64
from io import BytesIO

import nibabel
import numpy as np
import pytest
from PIL import Image

from clearmr.errors import InputError
from clearmr.report import study_pictures
from small_study import AFFINE, volume


@pytest.mark.parametrize("axes", ["RAS", "LPS", "ASR", "SLP"])
@pytest.mark.parametrize("view", ["axial", "coronal", "sagittal"])
def test_images_hang_as_radiologists_read_however_they_are_stored(axes: str, view: str) -> None:
    """A bright block at the patient's right, anterior, superior: left and up in each plane."""
    reference = nibabel.Nifti1Image(volume(0, noise=0), np.diag([2.0, 2.5, 3.0, 1.0]))
    turn = nibabel.orientations.ornt_transform(
        nibabel.orientations.axcodes2ornt("RAS"), nibabel.orientations.axcodes2ornt(axes)
    )
    stored = reference.as_reoriented(turn)
    values = np.asarray(stored.dataobj).transpose(2, 1, 0)[None]
    spacing = tuple(float(v) for v in stored.header.get_zooms()[::-1])
    stack = study_pictures.hang(values, spacing, stored.affine, view=view)  # type: ignore[arg-type]
    axial = {"axial": (6, 24, 20), "coronal": (24, 6, 20), "sagittal": (20, 6, 24)}[view]
    assert stack.values.shape == (1, *axial)
    sizes = {"axial": (3.0, 2.5, 2.0), "coronal": (2.5, 3.0, 2.0), "sagittal": (2.0, 3.0, 2.5)}[view]
    assert stack.spacing == pytest.approx(sizes)
    marks = {"axial": "RLAP", "coronal": "RLSI", "sagittal": "APSI"}[view]
    assert "".join(stack.marks or ()) == marks
    last = stack.values[0, -1]  # slices go from I to S, P to A, L to R
    assert last[0, 0] == 200 and last[-1, -1] != 200


def test_the_stored_plane_is_the_view_of_auto() -> None:
    values = volume(0, noise=0).transpose(2, 1, 0)[None]
    coronal = AFFINE[:, [0, 2, 1, 3]]
    assert study_pictures.hang(values, (3.0, 2.0, 2.0), coronal).marks == ("R", "L", "S", "I")
    plain = study_pictures.hang(values, (3.0, 2.0, 2.0), None)
    assert plain.marks is None and plain.values is not None and (plain.values == values).all()
    with pytest.raises(InputError, match="--view"):
        study_pictures.hang(values, (3.0, 2.0, 2.0), None, view="axial")


def test_slices_by_number_span_and_all() -> None:
    assert study_pictures.pick(5, "all") == [0, 1, 2, 3, 4] == study_pictures.pick(5, "9")
    assert study_pictures.pick(101, "3") == [10, 50, 90]
    assert study_pictures.pick(101, "1") == [50]
    assert study_pictures.pick(10, "2:9:3") == [1, 4, 7]
    for wrong in ("0", "-1", "0:3", "7:2", "11:12", "2:4:0", "some"):
        with pytest.raises(InputError, match="slices"):
            study_pictures.pick(10, wrong)


def stacks(*noises: float) -> list[study_pictures.Stack]:
    return [study_pictures.hang(volume(3, noise=n).T[None], (3.0, 2.0, 2.0), AFFINE) for n in noises]


def test_arms_share_scale_and_window_whatever_their_order() -> None:
    first, second = study_pictures.encode(stacks(15, 4), slices="all")
    swapped = study_pictures.encode(stacks(4, 15), slices="all")
    assert first["scale"] == second["scale"] and first["window"] == second["window"]
    assert swapped == [second, first] and first["images"] != second["images"]
    other, alone = study_pictures.encode(stacks(60, 4), slices="all", own_window=True)
    assert other["window"] != alone["window"]


def test_the_codes_are_the_image_without_loss() -> None:
    stack = study_pictures.hang(volume(3, noise=0).T[None], (3.0, 2.5, 2.0), AFFINE)
    coded, _ = study_pictures.encode([stack, stack], slices="2:2")
    codes = np.asarray(Image.open(BytesIO(base64.b64decode(coded["images"][0].split(",")[1]))), dtype=float)
    scale = coded["scale"]
    assert coded["pixel"] == [2.5, 2.0]  # mm, down and across
    values = scale["bottom"] + (scale["top"] - scale["bottom"]) * (codes / 255) ** scale["gamma"]
    assert np.abs(values - stack.values[0, 1]).max() < 0.01 * stack.values.max()
