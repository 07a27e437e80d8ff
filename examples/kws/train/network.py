"""The DS-CNN of Zhang et al., "Hello Edge" (arXiv:1711.07128): one ordinary
convolution, four depthwise-separable ones, a mean over time and frequency, and
a linear layer; with 48 channels it is a little narrower than in MLPerf Tiny."""

from torch import nn


def layers(inputs, outputs, kernel, **options):
    return [
        nn.Conv2d(inputs, outputs, kernel, bias=False, **options),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    ]


def ds_cnn(classes, channels=48):
    """From features [batch, 1, 49, 10] to logits [batch, classes]."""
    stack = layers(1, channels, (10, 4), stride=2, padding=(5, 1))
    for _ in range(4):
        stack += layers(channels, channels, 3, padding=1, groups=channels)
        stack += layers(channels, channels, 1)
    return nn.Sequential(
        *stack,
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Dropout(0.2),
        nn.Linear(channels, classes),
    )
