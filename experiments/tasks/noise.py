"""Normal numbers by address: what a draw adds depends on its id and on nothing that happened before."""

import math

import torch
from torch import Tensor

_WEYL, _FIRST, _SECOND = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB  # of splitmix64


def normal(ids: Tensor, width: int, key: int) -> Tensor:
    """Independent N(0, 1) numbers, float64 (..., width), for int64 `ids` (...): functions of (id, column, key) alone.

    Neither the other ids, nor the shape, nor `width` matter. The bits behind a number (splitmix64: Steele, Lea, Flood
    2014) are the same on every device; logarithm, sine and cosine (Box and Muller 1958) may round differently.
    """
    rows = _mix(_mix(ids) ^ _signed(key)).unsqueeze(-1)
    pairs = (width + 1) // 2
    columns = _mix(torch.arange(2 * pairs, device=ids.device))
    # 1 - u is in (0, 1], so that its logarithm is finite.
    radius = _uniform(rows + columns[0::2]).neg_().add_(1.0).log_().mul_(-2.0).sqrt_()
    angle = _uniform(rows + columns[1::2]).mul_(2.0 * math.pi)
    out = radius.new_empty(*ids.shape, 2 * pairs)
    torch.mul(radius, angle.cos(), out=out[..., 0::2])
    torch.mul(radius, angle.sin_(), out=out[..., 1::2])
    return out[..., :width]


def _mix(words: Tensor) -> Tensor:
    """What splitmix64 gives out in the state `words`, a new tensor. int64 stands for unsigned words and wraps round."""
    mixed = words + _signed(_WEYL)
    for shift, factor in ((30, _FIRST), (27, _SECOND)):
        mixed.bitwise_xor_(_shifted(mixed, shift)).mul_(_signed(factor))
    return mixed.bitwise_xor_(_shifted(mixed, 31))


def _uniform(states: Tensor) -> Tensor:
    """float64 in [0, 1): the upper 53 bits of each mixed word."""
    return _shifted(_mix(states), 11).double().mul_(2.0**-53)


def _shifted(words: Tensor, by: int) -> Tensor:
    """A logical shift to the right: torch's keeps the sign, whose copies are cleared here."""
    return (words >> by).bitwise_and_((1 << (64 - by)) - 1)


def _signed(word: int) -> int:
    """The signed 64-bit number with the bits of `word`."""
    return (word + (1 << 63)) % (1 << 64) - (1 << 63)
