"""Convolutions along time, each of every axis, then depthwise-separable ones, and a mean over the window."""

from torch import nn


class Network(nn.Module):
    """From [batch, frames, 6] to logits [batch, classes]."""

    def __init__(self, classes, channels=24):
        super().__init__()
        stack = block(6, channels, kernel=5, stride=2)
        for width in (channels, channels, 2 * channels):
            stack += block(channels, channels, kernel=7, groups=channels) + block(channels, width, kernel=1)
            stack += [nn.MaxPool1d(2)]
            channels = width
        self.stack = nn.Sequential(*stack, nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Dropout(0.3))
        self.classify = nn.Linear(channels, classes)

    def forward(self, frames):
        return self.classify(self.stack(frames.transpose(1, 2)))


def block(inputs, outputs, kernel, **options):
    convolution = nn.Conv1d(inputs, outputs, kernel, padding=kernel // 2, bias=False, **options)
    return [convolution, nn.BatchNorm1d(outputs), nn.ReLU()]
