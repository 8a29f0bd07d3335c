"""The small convolutional network that AdAdaGrad (arXiv 2402.11215) trains on CIFAR-10."""

from torch import nn

from optim.settings import SettingError


def network(shape: tuple[int, int, int], classes: int) -> nn.Module:
    """(B, channels, height, width) to (B, classes): three 3 x 3 convolutions to 16, 32 and 64 channels with padding 1,
    each followed by ReLU and pooling by 2, then linear layers of 500 units and `classes`, with ReLU between them (our
    reading: the page of facts names the widths alone); 541,094 parameters for CIFAR-10.

    Raises SettingError for images of less than 8 x 8.
    """
    channels, height, width = shape
    if min(height, width) < 8:
        raise SettingError(f"the model cifar_cnn needs images of at least 8 x 8, not {height} x {width}")
    layers: list[nn.Module] = []
    for inputs, outputs in ((channels, 16), (16, 32), (32, 64)):
        layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    layers += [nn.Flatten(), nn.Linear(64 * (height // 8) * (width // 8), 500), nn.ReLU(), nn.Linear(500, classes)]
    return nn.Sequential(*layers)
