"""Random crops and flips of images as functions of the draw, on whatever device the images are."""

import torch
from torch import Tensor
from torch.nn.functional import pad


def augmented(images: Tensor, tags: Tensor, border: int, flip: bool) -> Tensor:
    """Images (B, channels, height, width), each cut at random from itself with `border` black pixels on every side and,
    if `flip`, turned left to right with probability 1/2.

    tags: int64 (B,), random bits as `experiments.tasks.noise.tagged` puts them into a draw. With v = tag - 1 and
    s = 2 border + 1 places, the cut starts v mod s pixels from the top and (v // s) mod s from the left of the
    enlarged image, and is turned if v // s^2 is odd. An image with the tag 0 stays as it is.
    """
    places, (_, _, height, width) = 2 * border + 1, images.shape
    plain = tags == 0
    value = tags - 1
    down, right = value % places, (value // places) % places
    turned = (value // places**2) % 2 == 1
    if border:
        down, right = torch.where(plain, border, down), torch.where(plain, border, right)
        # (B, channels, places, places, height, width), without a copy
        cuts = pad(images, (border,) * 4).unfold(2, height, 1).unfold(3, width, 1)
        images = cuts[torch.arange(len(images), device=images.device), :, down, right]
    if flip:
        images = torch.where((turned & ~plain)[:, None, None, None], images.flip(3), images)
    return images
