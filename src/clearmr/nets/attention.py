"""One attention for every token pattern."""

import math
from collections.abc import Callable

import torch.nn.functional as F
from torch import nn

from clearmr.axes import Net5D, NetOut
from clearmr.nets.tokens import TokenPattern, arranged, cut, from_tokens, present, to_tokens, token_length

Conv = Callable[[int, int], nn.Module]


class TokenAttention(nn.Module):
    """Softmax attention (Vaswani et al. 2017) between the tokens of a pattern.

    (B, C_in, T, H, W) -> (B, C_out, T, H, W). Query, key, value and output are convolutions `conv`, so tokens know
    their surroundings and no position is added. heads: at most; the greatest common divisor with the channels is
    taken. size: H, W of the training patch at this level. Scores are the mean product of query and key times the root
    of the length of a token of that patch: the usual 1 / sqrt(length) there, and as sharp on frames of any other size.

    The softmax does not see a number added to all keys, so the bias of the keys, a third of `qkv.bias`, has no effect.
    """

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        *,
        conv: Conv,
        pattern: TokenPattern,
        heads: int,
        size: tuple[int, int],
        shifted: bool = False,
    ) -> None:
        super().__init__()
        self.pattern, self.shifted = pattern, shifted
        self.heads = math.gcd(heads, channels_out)
        self.reference = token_length(pattern, (1, *size), channels_out // self.heads)
        self.qkv = conv(channels_in, 3 * channels_out)
        self.out = conv(channels_out, channels_out)

    def forward(self, x: Net5D) -> NetOut:
        where = cut(self.pattern, x.shape[2:], shifted=self.shifted)
        parts = arranged(self.qkv(x), self.pattern).chunk(3, dim=1)
        query, key, value = (to_tokens(part, where, self.heads) for part in parts)
        mask = present(where, batch=len(x), device=x.device)
        scale = math.sqrt(self.reference) / query.shape[-1]
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=scale)
        return self.out(from_tokens(mixed, where, batch=len(x)))
