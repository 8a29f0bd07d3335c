"""Random numbers by address: what a draw adds depends on its id and on nothing that happened before."""

import math

import torch
from torch import Tensor

_TAG_BITS = 31
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


def tagged(indices: Tensor, ids: Tensor) -> Tensor:
    """Draws that are not just an example: its index, below 2^32, with 31 mixed bits of the draw's id above them.

    What is done to the example at random is a function of these bits, so that it is shared between lanes, repeatable
    and resumable. They are never all zero: a plain index is an example as it is. int64, all three of one shape.
    """
    return indices | (_shifted(_mix(ids), 64 - _TAG_BITS).clamp_(min=1) << 32)


def untagged(draws: Tensor) -> tuple[Tensor, Tensor]:
    """The indices and the bits, in [0, 2^31), of draws made by `tagged`; the bits of a plain index are 0."""
    return draws & (2**32 - 1), draws >> 32


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
