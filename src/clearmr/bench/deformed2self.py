"""A training step of Deformed2Self as published, 5 frames of 224 x 224 at full width, and the same in plain PyTorch.

The plain one does the published work in the published order: frame by frame, float32, NCHW.
"""

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from clearmr.bench.timing import Options
from clearmr.methods.deformed2self import losses, model, presets
from clearmr.methods.deformed2self.config import Deformed2SelfConfig
from clearmr.methods.deformed2self.model import Deformed2SelfNet
from clearmr.nets.motion import warp

FRAMES, SIZE, RUNS = 5, 224, 2
AUTHORS_SECONDS = 13.0  # CPU seconds of a step of the authors' code, this size and width, on the machine we had


def run(options: Options) -> dict[str, Any]:
    """Seconds and CPU seconds of a step, ours and the plain one, in the same run."""
    before = torch.get_num_threads()
    torch.set_num_threads(options.threads or before)
    try:
        config = presets.paper()
        bf16 = bool(torch.cpu._is_amx_tile_supported())
        own, plain = _net(config), _net(config).to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        return {
            "clearmr": {**timed(lambda: batched(own, config, bf16=bf16), own), "bf16": bf16},
            "frame by frame": timed(lambda: frame_by_frame(plain, config), plain),
            "authors' CPU seconds": AUTHORS_SECONDS,
        }
    finally:
        torch.set_num_threads(before)


def timed(loss: Callable[[], Tensor], net: nn.Module) -> dict[str, float]:
    """The shortest of some steps of Adam, after one to warm up."""
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-4)
    found = []
    for _ in range(RUNS + 1):
        began = time.perf_counter(), time.process_time()
        optimizer.zero_grad(set_to_none=True)
        loss().backward()
        nn.utils.clip_grad_norm_(net.parameters(), 100.0)
        optimizer.step()
        found.append((time.perf_counter() - began[0], time.process_time() - began[1]))
    return {"seconds": min(wall for wall, _ in found[1:]), "cpu seconds": min(cpu for _, cpu in found[1:])}


def batched(net: Deformed2SelfNet, config: Deformed2SelfConfig, *, bf16: bool) -> Tensor:
    """The loss of one step as `methods.deformed2self` computes it."""
    noisy, masks, mask = inputs()
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        stages = net(noisy, masks, mask)
    return model.losses_of(net, stages, noisy, masks, mask, config.loss).total


def frame_by_frame(net: Deformed2SelfNet, config: Deformed2SelfConfig) -> Tensor:
    """The same loss, each frame and each pair on its own, in float32."""
    noisy, masks, mask = inputs()
    assert net.single is not None and net.registration is not None
    clean = [net.single(noisy[:, k] * masks[:, k]) for k in range(FRAMES)]
    images = [torch.cat([part.detach(), noisy[:, k]], 1) for k, part in enumerate(clean)]
    flows = [net.registration(torch.cat([images[k], images[0]], 1)) for k in range(1, FRAMES)]
    warped = [warp(images[k + 1], flow) for k, flow in enumerate(flows)]
    target = torch.cat([clean[0].detach(), noisy[:, 0] * mask], 1)
    out = net.multi(torch.cat([target, *(part.detach() for part in warped)], 1))
    single = losses.single_loss(torch.stack(clean, 1), noisy, masks)
    moved = torch.stack(warped, 1)[:, :, :, None]
    registration = losses.registration_loss(moved, images[0][:, :, None], torch.stack(flows, 1))
    multi = losses.multi_loss(out, noisy[:, 0], mask)
    return losses.total_loss(single, registration, multi, weights=config.loss).total


def inputs() -> tuple[Tensor, Tensor, Tensor]:
    """Noise as frames, masks of f_s and of the target: always the same."""
    generator = torch.Generator().manual_seed(0)
    noisy = torch.rand(1, FRAMES, 1, SIZE, SIZE, generator=generator)
    masks = (torch.rand(noisy.shape, generator=generator) > 0.3).float()
    return noisy, masks, masks[:, 0]


def _net(config: Deformed2SelfConfig) -> Deformed2SelfNet:
    return model.build(config.net, channels=1, others=FRAMES - 1, seed=0)
