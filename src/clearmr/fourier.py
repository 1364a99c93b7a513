"""Centred orthonormal Fourier transforms, and centred crop and zero-pad. Unitary: they keep unit noise."""

from collections.abc import Sequence

import torch
from torch import Tensor


def to_image(kspace: Tensor, dims: Sequence[int]) -> Tensor:
    """k-space to image along `dims`: unitary inverse FFT with the origin at n // 2 on both sides. Any unit."""
    dims = tuple(dims)
    return torch.fft.fftshift(torch.fft.ifftn(torch.fft.ifftshift(kspace, dims), dim=dims, norm="ortho"), dims)


def to_kspace(image: Tensor, dims: Sequence[int]) -> Tensor:
    """Image to k-space along `dims`; the inverse and the adjoint of `to_image`."""
    dims = tuple(dims)
    return torch.fft.fftshift(torch.fft.fftn(torch.fft.ifftshift(image, dims), dim=dims, norm="ortho"), dims)


def crop_or_pad(array: Tensor, size: int, dim: int) -> Tensor:
    """Crop or zero-pad `dim` to `size` so that the element at n // 2 goes to size // 2."""
    n = array.shape[dim]
    before = size // 2 - n // 2
    if size <= n:
        return array.narrow(dim, -before, size)
    shape = list(array.shape)
    shape[dim] = size
    padded = array.new_zeros(shape)
    padded.narrow(dim, before, n).copy_(array)
    return padded
