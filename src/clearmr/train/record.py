"""What a run leaves to look at: metrics.jsonl and, where TensorBoard is installed, its event files."""

import importlib.util
import json
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from clearmr.files import whole_file
from clearmr.train.stream import Batch

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

METRICS = "metrics.jsonl"
SHOWN = 4  # pictures of a validation


class Record:
    """Writes into a run's folder: `metrics.jsonl`, one JSON object per line, and `tensorboard/`.

    A resumed run goes on after its state's step: what was written after it (or at it) is taken back.
    """

    def __init__(self, run: Path, step: int) -> None:
        self.path = run / METRICS
        _take_back(self.path, step)
        self.writer = _writer(run / "tensorboard", step)

    def figures(self, step: int, **values: float) -> None:
        """One line of metrics, and one scalar each."""
        with self.path.open("a") as file:
            file.write(json.dumps({"step": step, **values}) + "\n")
        if self.writer is not None:
            for name, value in values.items():
                self.writer.add_scalar(name, value, step)

    def pictures(self, step: int, net: nn.Module, batch: Batch, device: torch.device) -> None:
        """The first samples of a batch: noisy | denoised | clean, one below the other."""
        if self.writer is not None:
            with torch.inference_mode():
                out = net(batch[0].to(device).contiguous(memory_format=torch.channels_last_3d)).float().cpu()
            self.writer.add_image("noisy | denoised | clean", side_by_side(batch[0], out, batch[1])[None], step)
            self.writer.flush()

    def close(self) -> None:
        if self.writer is not None:
            self.writer.close()


def side_by_side(inputs: Tensor, output: Tensor, target: Tensor) -> Tensor:
    """Magnitudes of the middle frames, 0 to 1 of each clean frame's maximum: (B, C, T, H, W) -> (n H, 3 W).

    The input's first channels are taken for the image: as many as the target has.
    """
    middle = target.shape[2] // 2
    images = [part[:SHOWN, : target.shape[1], middle].square().sum(1).sqrt() for part in (inputs, output, target)]
    top = images[2].amax((1, 2), keepdim=True).clamp_min(1e-12)
    return torch.cat([image / top for image in images], dim=2).flatten(0, 1).clamp(0, 1).detach()


def _writer(folder: Path, step: int) -> "SummaryWriter | None":
    if importlib.util.find_spec("tensorboard") is None:
        return None
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder), purge_step=step)


def _take_back(path: Path, step: int) -> None:
    """Leave the lines of earlier steps; a line that a kill has cut is among what goes."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text().splitlines():
        try:
            if json.loads(line)["step"] < step:
                kept.append(line)
        except (ValueError, KeyError, TypeError):
            continue
    with whole_file(path, force=True) as temporary:
        temporary.write_text("".join(f"{line}\n" for line in kept))
