"""A detector for a grid of cells: each says which digit has its centre there, if any does.

That is the form of FOMO, "Faster Objects, More Objects", by Edge Impulse: a classifier for each cell, and no boxes.
"""

from torch import nn

CLASSES = 11


class Network(nn.Module):
    """From [batch, 1, 40, 40] to scores [batch, 5, 5, 11]: nothing, or one of ten digits."""

    def __init__(self):
        super().__init__()
        self.stack = nn.Sequential(
            *block(1, 16, 3, stride=2, padding=1),
            *separable(16, 32),
            *separable(32, 32, stride=2),
            *separable(32, 64),
            *separable(64, 64, stride=2),
            *separable(64, 96),
            *separable(96, 96),
            nn.Conv2d(96, CLASSES, 1),
        )

    def forward(self, image):
        return self.stack(image).permute(0, 2, 3, 1)


def block(inputs, outputs, kernel, **options):
    return [nn.Conv2d(inputs, outputs, kernel, bias=False, **options), nn.BatchNorm2d(outputs), nn.ReLU6()]


def separable(inputs, outputs, stride=1):
    return block(inputs, inputs, 3, stride=stride, padding=1, groups=inputs) + block(inputs, outputs, 1)
