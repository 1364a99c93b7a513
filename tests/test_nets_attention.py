"""Token patterns are exactly invertible, and attention over them is what it says, voxel by voxel."""

import itertools
import math

import pytest
import torch
from torch import Tensor

from clearmr.nets.attention import TokenAttention
from clearmr.nets.convolutions import FrameConv, VolumeConv
from clearmr.nets.tokens import PATTERNS, TokenPattern, cut, from_tokens, present, to_tokens

SMALL = {  # the rows of the table with windows small enough for loops
    "frames": TokenPattern(PATTERNS["frames"].layout, (1, None, None)),
    "windows": TokenPattern(PATTERNS["windows"].layout, (2, 3, 2)),
    "windows-of-a-frame": TokenPattern(PATTERNS["windows-of-a-frame"].layout, (1, 3, 2)),
    "voxels-of-a-window": TokenPattern(PATTERNS["voxels-of-a-window"].layout, (2, 3, 2)),
}
SIZES = [(4, 6, 4), (3, 5, 7), (1, 4, 3), (5, 2, 1)]


@pytest.mark.parametrize("name", PATTERNS)
@pytest.mark.parametrize("size", [(16, 64, 64), (1, 9, 17), (18, 8, 7), (33, 5, 40)])
@pytest.mark.parametrize("shifted", [False, True])
def test_inverse_is_exact(name: str, size: tuple[int, int, int], shifted: bool) -> None:
    where = cut(PATTERNS[name], size, shifted=shifted)
    x = torch.randn(2, 4, *size)
    tokens = to_tokens(x, where, 2)
    assert tokens.shape[1] == 2
    assert torch.equal(from_tokens(tokens, where, batch=2), x)


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("shifted", [False, True])
def test_tokens_are_the_voxels_that_the_pattern_names(name: str, size: tuple[int, int, int], shifted: bool) -> None:
    """Every voxel's number is found in its token; every token marked present holds one, no other does."""
    where = cut(SMALL[name], size, shifted=shifted)
    numbers = 1.0 + torch.arange(math.prod(size)).reshape(1, 1, *size)
    tokens = to_tokens(numbers, where, 1)
    found = {frozenset(token[token > 0].int().tolist()) for token in tokens[:, 0].flatten(0, 1)} - {frozenset()}
    expected = {
        frozenset(int(numbers[0, 0][v]) for v in members)
        for members in _groups(size, SMALL[name].window, shifted, one_token=not name.startswith("voxels")).values()
    }
    assert found == expected
    held = present(where, batch=1)
    holding = (tokens > 0).any(-1)[:, :, None]
    assert torch.equal(holding, held) if held is not None else bool(holding.all())


def _groups(
    size: tuple[int, int, int], window: tuple[int | None, ...], shifted: bool, *, one_token: bool
) -> dict[tuple[int, ...], list[tuple[int, ...]]]:
    """Voxels by their window (or each by itself): window number = (index + shift) // window, along each axis."""
    groups: dict[tuple[int, ...], list[tuple[int, ...]]] = {}
    for voxel in itertools.product(*(range(n) for n in size)):
        key = []
        for index, n, w in zip(voxel, size, window, strict=True):
            width = n if w is None else min(w, n)
            key.append((index + (width - width // 2 if shifted and n > width else 0)) // width)
        groups.setdefault(tuple(key) if one_token else voxel, []).append(voxel)
    return groups


def _slow_attention(layer: TokenAttention, x: Tensor, name: str) -> Tensor:
    """Softmax attention in loops over heads, queries and keys, without padding, masks, windows or einops."""
    query, key, value = layer.qkv(x).chunk(3, dim=1)
    mixed, size = torch.zeros_like(query), tuple(x.shape[2:])
    windows = _groups(size, layer.pattern.window, layer.shifted, one_token=True)
    per_head = query.shape[1] // layer.heads
    full = math.prod(_width(w, n) for w, n in zip(layer.pattern.window, size, strict=True))
    for batch, head in itertools.product(range(len(x)), range(layer.heads)):
        channels = slice(head * per_head, (head + 1) * per_head)

        def of(part: Tensor, voxels: list[tuple[int, ...]], b: int = batch, c: slice = channels) -> Tensor:
            return torch.stack([part[b, c, t, h, w] for t, h, w in voxels])

        for asked, voxels in windows.items():
            if name == "voxels-of-a-window":
                scale = 1 / math.sqrt(per_head)
                for voxel in voxels:
                    scores = of(key, voxels) @ of(query, [voxel])[0] * scale
                    t, h, w = voxel
                    mixed[batch, channels, t, h, w] = torch.softmax(scores, 0) @ of(value, voxels)
                continue
            keys = [k for k in windows if name != "windows-of-a-frame" or k[0] == asked[0]]
            scale = math.sqrt(layer.reference) / (per_head * full)
            scores = torch.stack([scale * _product(query, key, asked, k, windows, layer, of) for k in keys])
            for weight, k in zip(torch.softmax(scores, 0), keys, strict=True):
                for (t, h, w), source in _pairs(asked, k, windows, layer, size):
                    mixed[batch, channels, t, h, w] += weight * value[(batch, channels, *source)]
    return layer.out(mixed)


def _width(window: int | None, n: int) -> int:
    return n if window is None else min(window, n)


def _pairs(asked, key, windows, layer, size):  # type: ignore[no-untyped-def]
    """Voxels of window `asked` with those at the same place in window `key`, where there is one."""
    widths = [_width(w, n) for w, n in zip(layer.pattern.window, size, strict=True)]
    there = set(windows[key])
    for voxel in windows[asked]:
        source = tuple(v + (k - a) * w for v, k, a, w in zip(voxel, key, asked, widths, strict=True))
        if source in there:
            yield voxel, source


def _product(query, key, asked, other, windows, layer, of):  # type: ignore[no-untyped-def]
    pairs = list(_pairs(asked, other, windows, layer, query.shape[2:]))
    if not pairs:  # two parts of windows at opposite borders have no place in common
        return query.new_zeros(())
    return (of(query, [p[0] for p in pairs]) * of(key, [p[1] for p in pairs])).sum()


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("shifted", [False, True])
def test_attention_equals_loops(name: str, size: tuple[int, int, int], shifted: bool) -> None:
    torch.manual_seed(0)
    conv = FrameConv if name == "frames" or name.endswith("frame") else VolumeConv
    layer = TokenAttention(3, 4, conv=conv, pattern=SMALL[name], heads=2, size=(6, 4), shifted=shifted)
    x = 3 * torch.randn(2, 3, *size)
    with torch.no_grad():
        torch.testing.assert_close(layer(x), _slow_attention(layer, x, name), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", SMALL)
def test_query_key_and_value_learn(name: str) -> None:
    torch.manual_seed(0)
    layer = TokenAttention(3, 4, conv=FrameConv, pattern=SMALL[name], heads=2, size=(6, 4))
    layer(torch.randn(1, 3, 4, 6, 4)).square().sum().backward()
    for part in layer.qkv.weight.grad.chunk(3):
        assert part.abs().max() > 1e-6


def test_no_mask_is_stored() -> None:
    layer = TokenAttention(4, 4, conv=FrameConv, pattern=PATTERNS["voxels-of-a-window"], heads=2, size=(64, 64))
    assert set(layer.state_dict()) == {"qkv.weight", "qkv.bias", "out.weight", "out.bias"}


def test_sharpness_does_not_depend_on_the_frame_size() -> None:
    """The same content on a frame four times as large attends between frames as before."""
    torch.manual_seed(0)
    layer = TokenAttention(3, 4, conv=lambda a, b: FrameConv(a, b, kernel=1), pattern=PATTERNS["frames"], heads=2,
                           size=(8, 8))  # fmt: skip
    x = 3 * torch.randn(1, 3, 5, 8, 8)
    torch.testing.assert_close(layer(x.repeat(1, 1, 1, 2, 2))[..., :8, :8], layer(x), rtol=1e-5, atol=1e-5)


def test_shifted_windows_do_not_wrap_round() -> None:
    """A change at one border is not seen at the opposite one."""
    torch.manual_seed(0)
    layer = TokenAttention(2, 2, conv=lambda a, b: FrameConv(a, b, kernel=1),
                           pattern=SMALL["voxels-of-a-window"], heads=1, size=(6, 4), shifted=True)  # fmt: skip
    x = torch.randn(1, 2, 4, 9, 8)
    changed = x.clone()
    changed[:, :, :, 0] += 5
    with torch.no_grad():
        moved = (layer(changed) - layer(x)).abs().amax((0, 1, 2, 4))
    assert moved[0] > 1e-3
    assert moved[3:].max() < 1e-6
