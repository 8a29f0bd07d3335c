"""LeNet-5 (LeCun, Bottou, Bengio and Haffner 1998), as the page on arXiv 2101.05471 has it, for small images too."""

from torch import nn

from optim.settings import SettingError

_SMALL = 14  # below this a side would shrink to nothing without padding


def network(shape: tuple[int, int, int], classes: int) -> nn.Module:
    """(B, channels, height, width) to (B, classes): two 5 x 5 convolutions to 6 (padding 2) and 16 channels, each
    followed by tanh and average pooling by 2, then linear layers of 120, 84 and `classes` units with tanh between
    them; 61,706 parameters for MNIST.

    Tanh is our choice: that of 1998, and the loss is then smooth, as the theory assumes. So is the padding of the
    second convolution by 2 for images of less than 14 x 14. Raises SettingError for images of less than 4 x 4.
    """
    channels, height, width = shape
    if min(height, width) < 4:
        raise SettingError(f"the model lenet needs images of at least 4 x 4, not {height} x {width}")
    padding = 2 if min(height, width) < _SMALL else 0
    left = ((height // 2 + 2 * padding - 4) // 2) * ((width // 2 + 2 * padding - 4) // 2)
    return nn.Sequential(
        nn.Conv2d(channels, 6, 5, padding=2),
        nn.Tanh(),
        nn.AvgPool2d(2),
        nn.Conv2d(6, 16, 5, padding=padding),
        nn.Tanh(),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(16 * left, 120),
        nn.Tanh(),
        nn.Linear(120, 84),
        nn.Tanh(),
        nn.Linear(84, classes),
    )
