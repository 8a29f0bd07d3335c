"""The convolutional network that AdAdaGrad (arXiv 2402.11215) trains on MNIST, for small images of any shape."""

from torch import nn

from optim.settings import SettingError


def network(shape: tuple[int, int, int], classes: int) -> nn.Module:
    """(B, channels, height, width) to (B, classes): two 5 x 5 convolutions to 16 and 32 channels with padding 2, each
    followed by ReLU and pooling by 2, then a linear layer; 28,938 parameters for MNIST.

    Raises SettingError for images of less than 4 x 4.
    """
    channels, height, width = shape
    if min(height, width) < 4:
        raise SettingError(f"the model mnist_cnn needs images of at least 4 x 4, not {height} x {width}")
    return nn.Sequential(
        nn.Conv2d(channels, 16, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(32 * (height // 4) * (width // 4), classes),
    )
