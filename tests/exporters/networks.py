"""The PyTorch networks: a small one of each kind that people put on microcontrollers."""

import math

import torch
import torch.nn.functional as F
from torch import nn

import tasks


def conv_bn(inputs, outputs, kernel=3, stride=1, groups=1, act=nn.ReLU6):
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), *([act()] if act else []))


class Residual(nn.Module):
    """x + body(x), and an activation behind it."""

    def __init__(self, *body, act=nn.Identity):
        super().__init__()
        self.body, self.act = nn.Sequential(*body), act()

    def forward(self, x):
        return self.act(x + self.body(x))


class Head(nn.Module):
    """Global average of an image or a sequence, and a classifier; the ways in which people write that."""

    def __init__(self, channels, way="mean", classes=4):
        super().__init__()
        self.way, self.linear = way, nn.Linear(channels, classes)

    def forward(self, x):
        if self.way == "mean":
            x = x.mean(tuple(range(2, x.dim())))
        elif self.way == "adaptive":
            x = torch.flatten(F.adaptive_avg_pool2d(x, 1), 1)
        elif self.way == "view":
            x = F.adaptive_avg_pool2d(x, (1, 1)).view(x.size(0), -1)
        elif self.way == "max":
            x = x.amax(tuple(range(2, x.dim())))
        elif self.way == "squeeze":
            x = F.avg_pool2d(x, x.shape[2:]).squeeze(-1).squeeze(-1)
        return self.linear(x)


def inverted_residuals():
    def block(channels, act=nn.ReLU6):
        wide = 4 * channels
        return Residual(
            conv_bn(channels, wide, 1), conv_bn(wide, wide, 3, groups=wide), conv_bn(wide, channels, 1, act=None)
        )

    return nn.Sequential(conv_bn(3, 8, stride=2), block(8), conv_bn(8, 12, stride=2), block(12), Head(12, "adaptive"))


def residuals():
    def block(channels):
        return Residual(conv_bn(channels, channels, act=nn.ReLU), conv_bn(channels, channels, act=None), act=nn.ReLU)

    down = Residual(conv_bn(8, 8, act=None), act=nn.ReLU)
    return nn.Sequential(conv_bn(1, 8, act=nn.ReLU), block(8), nn.MaxPool2d(3, 2, 1), block(8), down, Head(8, "view"))


class SqueezeExcite(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.squeeze, self.excite = nn.Conv2d(channels, channels // 4, 1), nn.Conv2d(channels // 4, channels, 1)

    def forward(self, x):
        scale = F.relu(self.squeeze(F.adaptive_avg_pool2d(x, 1)))
        return x * F.hardsigmoid(self.excite(scale))


def squeeze_excite():
    def block(channels, wide, kernel):
        return Residual(
            conv_bn(channels, wide, 1, act=nn.Hardswish),
            conv_bn(wide, wide, kernel, groups=wide, act=nn.Hardswish),
            SqueezeExcite(wide),
            conv_bn(wide, channels, 1, act=None),
        )

    return nn.Sequential(
        conv_bn(3, 8, stride=2, act=nn.Hardswish), block(8, 16, 3), block(8, 24, 5), conv_bn(8, 16, 1, act=nn.Hardswish),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 16), nn.Hardswish(), nn.Dropout(0.1), nn.Linear(16, 4)
    )


class Silu(nn.Module):
    """EfficientNet's block: SiLU, and a sigmoid that is multiplied by hand."""

    def __init__(self):
        super().__init__()
        self.stem, self.depth = conv_bn(3, 8, stride=2, act=nn.SiLU), conv_bn(8, 8, groups=8, act=nn.SiLU)
        self.squeeze, self.excite = nn.Conv2d(8, 4, 1), nn.Conv2d(4, 8, 1)
        self.head = Head(8)

    def forward(self, x):
        y = self.depth(self.stem(x))
        scale = self.excite(F.silu(self.squeeze(y.mean((2, 3), keepdim=True))))
        return self.head(y * torch.sigmoid(scale))


class Shuffle(nn.Module):
    """ShuffleNet's unit: half of the channels pass, then all are shuffled."""

    def __init__(self, channels):
        super().__init__()
        half = channels // 2
        self.body = nn.Sequential(
            conv_bn(half, half, 1, act=nn.ReLU), conv_bn(half, half, groups=half, act=None), conv_bn(half, half, 1, act=nn.ReLU)
        )

    def forward(self, x):
        passed, changed = x.chunk(2, dim=1)
        x = torch.cat((passed, self.body(changed)), dim=1)
        n, c, h, w = x.size()
        x = x.view(n, 2, c // 2, h, w)
        return torch.transpose(x, 1, 2).contiguous().view(n, -1, h, w)


def shufflenet():
    return nn.Sequential(conv_bn(1, 12, stride=2, act=nn.ReLU), Shuffle(12), Shuffle(12), nn.MaxPool2d(2), Head(12))


def separable():
    layers = [nn.Conv2d(1, 8, 3, 2, 1), nn.ReLU()]
    for inputs, outputs in ((8, 12), (12, 16)):
        layers += [nn.Conv2d(inputs, inputs, 3, padding="same", groups=inputs), nn.Conv2d(inputs, outputs, 1), nn.ReLU()]
    return nn.Sequential(*layers, nn.AvgPool2d(2), nn.Flatten(), nn.Linear(16 * 4 * 4, 4))


class Dense(nn.Module):
    """DenseNet's block: every layer sees all before it."""

    def __init__(self, channels, growth=6, layers=3):
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Sequential(nn.BatchNorm2d(c), nn.ReLU(), nn.Conv2d(c, growth, 3, padding=1, bias=False))
            for c in range(channels, channels + growth * layers, growth)
        )

    def forward(self, x):
        seen = [x]
        for layer in self.layers:
            seen.append(layer(torch.cat(seen, 1)))
        return torch.cat(seen, 1)


def densenet():
    return nn.Sequential(
        nn.Conv2d(1, 6, 3, 2, 1, bias=False), Dense(6), nn.BatchNorm2d(24), nn.ReLU(), nn.Conv2d(24, 12, 1),
        nn.AvgPool2d(2), Dense(12), nn.BatchNorm2d(30), nn.ReLU(), Head(30, "squeeze")
    )


class RMSNorm(nn.Module):
    """As language models write it by hand."""

    def __init__(self, width):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x):
        return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6))


class LayerNormByHand(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))

    def forward(self, x):
        mean = x.mean(-1, keepdim=True)
        variance = (x - mean).pow(2).mean(-1, keepdim=True)
        return (x - mean) / torch.sqrt(variance + 1e-5) * self.weight + self.bias


def normalised(norm):
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, 2, 1), norm(8), nn.ReLU(), nn.Conv2d(8, 12, 3, 2, 1), norm(12), nn.LeakyReLU(0.1), Head(12, "max")
    )


def convnext():
    class Block(nn.Module):
        def __init__(self, channels):
            super().__init__()
            self.depth, self.norm = nn.Conv2d(channels, channels, 5, padding=2, groups=channels), nn.LayerNorm(channels)
            self.up, self.down = nn.Linear(channels, 2 * channels), nn.Linear(2 * channels, channels)
            self.scale = nn.Parameter(0.5 * torch.ones(channels))

        def forward(self, x):
            y = self.norm(self.depth(x).permute(0, 2, 3, 1))
            y = self.scale * self.down(F.gelu(self.up(y)))
            return x + y.permute(0, 3, 1, 2)

    return nn.Sequential(nn.Conv2d(3, 12, 4, 4), Block(12), Block(12), Head(12))


class Activations(nn.Module):
    """A layer for each less common activation."""

    def __init__(self):
        super().__init__()
        kinds = [nn.Softplus(), nn.Mish(), nn.SELU(), nn.CELU(), nn.PReLU(12), nn.ELU(), nn.Softsign(), nn.Hardtanh(), nn.Tanhshrink()]
        self.layers = nn.ModuleList(nn.Sequential(nn.Conv1d(12, 12, 3, padding=1), kind) for kind in kinds)
        self.stem, self.head = nn.Conv1d(4, 12, 5, 2), nn.Linear(12, 4)

    def forward(self, x):
        x = F.glu(torch.cat([self.stem(x)] * 2, 1), 1)
        for layer in self.layers:
            x = x + 0.5 * layer(x)
        return F.log_softmax(self.head(x.mean(2)), dim=1)


class Causal(nn.Module):
    """A convolution that sees the past alone: padded left, or padded on both sides and cut."""

    def __init__(self, inputs, outputs, kernel=3, dilation=1, cut=False):
        super().__init__()
        self.pad, self.cut = (kernel - 1) * dilation, cut
        self.conv = nn.Conv1d(inputs, outputs, kernel, dilation=dilation, padding=self.pad if cut else 0)

    def forward(self, x):
        if self.cut:
            return self.conv(x)[:, :, : -self.pad]
        return self.conv(F.pad(x, (self.pad, 0)))


def dilated():
    layers = [nn.Conv1d(4, 12, 3, padding=1), nn.BatchNorm1d(12), nn.ReLU()]
    for dilation in (2, 4):
        layers += [nn.Conv1d(12, 12, 3, padding=dilation, dilation=dilation), nn.BatchNorm1d(12), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(12, 4))


class LastStep(nn.Module):
    def forward(self, x):
        return x[:, :, -1]


def causal():
    layers = [Causal(4, 12), nn.ReLU()]
    for dilation in (2, 4, 8):
        layers += [Causal(12, 12, dilation=dilation), nn.ReLU()]
    return nn.Sequential(*layers, LastStep(), nn.Linear(12, 4))


class Gated(nn.Module):
    """WaveNet's unit: a tanh and a sigmoid multiplied, a residual and a skip."""

    def __init__(self, channels, dilation):
        super().__init__()
        self.filter, self.gate = Causal(channels, channels, 2, dilation), Causal(channels, channels, 2, dilation)
        self.out = nn.Conv1d(channels, channels, 1)

    def forward(self, x):
        y = self.out(torch.tanh(self.filter(x)) * torch.sigmoid(self.gate(x)))
        return x + y, y


class WaveNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv1d(4, 8, 1)
        self.units = nn.ModuleList(Gated(8, dilation) for dilation in (1, 2, 4, 8))
        self.head = nn.Linear(8, 4)

    def forward(self, x):
        x, total = self.stem(x), 0
        for unit in self.units:
            x, skip = unit(x)
            total = total + skip
        return self.head(F.relu(total).mean(-1))


def tcn():
    def block(inputs, outputs, dilation):
        body = [Causal(inputs, outputs, dilation=dilation, cut=True), nn.ReLU(), nn.Dropout(0.1)]
        body += [Causal(outputs, outputs, dilation=dilation, cut=True), nn.ReLU(), nn.Dropout(0.1)]
        return Residual(*body, act=nn.ReLU) if inputs == outputs else nn.Sequential(*body)

    return nn.Sequential(block(4, 12, 1), block(12, 12, 2), block(12, 12, 4), LastStep(), nn.Linear(12, 4))


class Keywords(nn.Module):
    """TC-ResNet: the frequencies are the channels of a temporal convolution."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv1d(10, 12, 3, padding=1, bias=False)
        self.body = nn.Sequential(nn.Conv1d(12, 16, 9, 2, 4, bias=False), nn.BatchNorm1d(16), nn.ReLU())
        self.body.append(nn.Conv1d(16, 16, 9, 1, 4, bias=False)).append(nn.BatchNorm1d(16))
        self.short = nn.Sequential(nn.Conv1d(12, 16, 1, 2, bias=False), nn.BatchNorm1d(16), nn.ReLU())
        self.head = nn.Linear(16, 4)

    def forward(self, x):
        x = self.stem(x.squeeze(1).transpose(1, 2))
        x = F.relu(self.body(x) + self.short(x))
        return self.head(F.adaptive_avg_pool1d(x, 1).flatten(1))


class Recurrent(nn.Module):
    """The last output of a recurrent layer, classified."""

    def __init__(self, kind, layers=1, bidirectional=False, frames=True, pooled=False):
        super().__init__()
        self.frames, self.pooled = frames, pooled
        self.rnn = kind(4, 12, layers, batch_first=frames, bidirectional=bidirectional)
        self.head = nn.Linear(24 if bidirectional else 12, 4)

    def forward(self, x):
        if not self.frames:
            x = x.permute(1, 0, 2)
        y, _ = self.rnn(x)
        if not self.frames:
            return self.head(y[-1])
        return self.head(y.mean(1) if self.pooled else y[:, -1])


class Hidden(nn.Module):
    """The last states of both directions, and convolutions before."""

    def __init__(self, kind):
        super().__init__()
        self.conv, self.rnn = nn.Conv1d(4, 12, 5, 2), kind(12, 10, bidirectional=True, batch_first=True)
        self.head = nn.Linear(20, 4)

    def forward(self, x):
        _, state = self.rnn(F.relu(self.conv(x)).transpose(1, 2))
        state = state[0] if isinstance(state, tuple) else state
        return F.softmax(self.head(torch.cat([state[0], state[1]], dim=1)), dim=-1)


class Stepwise(nn.Module):
    """A GRU whose state comes in and goes out: one call for each piece of a stream."""

    def __init__(self):
        super().__init__()
        self.rnn, self.head = nn.GRU(2, 12, batch_first=True), nn.Linear(12, 1)

    def forward(self, x, state):
        y, state = self.rnn(x, state.unsqueeze(0))
        return self.head(y[:, -1, :]), state[0]


class Cell(nn.Module):
    """GRUCell in a loop, which exporters unroll."""

    def __init__(self):
        super().__init__()
        self.cell, self.head = nn.GRUCell(8, 12), nn.Linear(12, 4)

    def forward(self, x):
        state = torch.zeros(x.size(0), 12)
        for piece in x.reshape(x.size(0), 16, 8).unbind(1):
            state = self.cell(piece, state)
        return self.head(state)


class Vit(nn.Module):
    """A vision transformer: patches, a class token, positions, and PyTorch's own encoder."""

    def __init__(self, width=16, gelu="gelu"):
        super().__init__()
        self.patches, self.token = nn.Conv2d(1, width, 4, 4), nn.Parameter(torch.zeros(1, 1, width))
        self.positions = nn.Parameter(0.1 * torch.randn(1, 17, width))
        layer = nn.TransformerEncoderLayer(width, 2, 32, 0.0, gelu, batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, 4)

    def forward(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.positions
        return self.head(self.norm(self.encoder(x))[:, 0])


class Block(nn.Module):
    """A transformer's block with its attention in one of the ways people write it."""

    def __init__(self, width, heads, attention, norm=nn.LayerNorm, gelu="tanh"):
        super().__init__()
        self.heads, self.attention, self.gelu = heads, attention, gelu
        self.norm1, self.norm2 = norm(width), norm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def attend(self, x, padding):
        n, t, c = x.shape
        qkv = self.qkv(x)
        if self.attention == "einsum":
            q, k, v = (y.view(n, t, self.heads, -1) for y in qkv.chunk(3, -1))
            scores = torch.einsum("nqhd,nkhd->nhqk", q, k) / math.sqrt(q.size(-1))
            return torch.einsum("nhqk,nkhd->nqhd", scores.softmax(-1), v).reshape(n, t, c)
        q, k, v = qkv.reshape(n, t, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        if self.attention in ("sdpa", "causal"):
            used = None if padding is None else ~padding[:, None, None, :]
            y = F.scaled_dot_product_attention(q, k, v, used, is_causal=self.attention == "causal")
        else:
            scores = (q @ k.transpose(-2, -1)) * (q.size(-1) ** -0.5)
            if padding is not None and self.attention == "added":
                scores = scores + padding[:, None, None, :].to(scores.dtype) * torch.finfo(scores.dtype).min
            elif padding is not None:
                scores = scores.masked_fill(padding[:, None, None, :], float("-inf"))
            y = scores.softmax(dim=-1) @ v
        return y.transpose(1, 2).reshape(n, t, c)

    def forward(self, x, padding=None):
        x = x + self.out(self.attend(self.norm1(x), padding))
        return x + self.down(F.gelu(self.up(self.norm2(x)), approximate=self.gelu))


class Frames(nn.Module):
    """A transformer over frames of sensors, four to a token."""

    def __init__(self, attention, norm=nn.LayerNorm, width=16, length=32):
        super().__init__()
        self.embed = nn.Linear(16, width)
        angle = torch.arange(length // 4)[:, None] * torch.exp(-torch.arange(0, width, 2) * 0.5)
        self.register_buffer("positions", torch.stack([angle.sin(), angle.cos()], 2).flatten(1))
        self.blocks = nn.ModuleList(Block(width, 2, attention, norm) for _ in range(2))
        self.head = nn.Linear(width, 4)

    def forward(self, x):
        x = self.embed(x.reshape(x.size(0), -1, 16))
        x = x + self.positions[: x.size(1)]
        for block in self.blocks:
            x = block(x)
        return self.head(x.mean(dim=1))


class MaskedFrames(nn.Module):
    """Padding is masked out of the softmax and out of the mean."""

    def __init__(self, attention="matmul", width=16):
        super().__init__()
        self.embed, self.block, self.head = nn.Linear(4, width), Block(width, 2, attention), nn.Linear(width, 4)
        self.positions = nn.Parameter(0.3 * torch.randn(24, width))

    def forward(self, x, padding):
        x = self.block(self.embed(x) + self.positions, padding)
        used = torch.where(padding, 0.0, 1.0).unsqueeze(-1)
        return self.head((x * used).sum(1) / used.sum(1).clamp(min=1))


class PaddedEncoder(nn.Module):
    """PyTorch's own encoder with a mask for padding."""

    def __init__(self, width=16):
        super().__init__()
        self.embed, self.positions = nn.Linear(4, width), nn.Parameter(0.3 * torch.randn(24, width))
        layer = nn.TransformerEncoderLayer(width, 2, 32, 0.0, batch_first=True)
        self.encoder, self.head = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False), nn.Linear(width, 4)

    def forward(self, x, padding):
        x = self.encoder(self.embed(x) + self.positions, src_key_padding_mask=padding)
        return self.head(x[:, :16].mean(1))


class MultiHead(nn.Module):
    """nn.MultiheadAttention over frames, with a learned query that pools."""

    def __init__(self, width=16):
        super().__init__()
        self.conv, self.norm = nn.Conv1d(4, width, 4, 2), nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, 4, batch_first=True)
        self.query, self.pool = nn.Parameter(torch.randn(1, 1, width)), nn.MultiheadAttention(width, 2, batch_first=True)
        self.head = nn.Linear(width, 4)

    def forward(self, x):
        x = torch.tanh(self.conv(x)).permute(0, 2, 1)
        x = self.norm(x + self.attention(x, x, x, need_weights=False)[0])
        pooled, _ = self.pool(self.query.repeat(x.size(0), 1, 1), x, x)
        return self.head(pooled.squeeze(1))


class Mixer(nn.Module):
    """MLP-Mixer: dense layers along the tokens and along the channels."""

    def __init__(self, width=16):
        super().__init__()
        self.patches, self.norm1, self.norm2 = nn.Conv2d(1, width, 4, 4), nn.LayerNorm(width), nn.LayerNorm(width)
        self.tokens = nn.Sequential(nn.Linear(16, 24), nn.GELU(), nn.Linear(24, 16))
        self.channels = nn.Sequential(nn.Linear(width, 32), nn.GELU(), nn.Linear(32, width))
        self.head = nn.Linear(width, 4)

    def forward(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = x + self.tokens(self.norm1(x).transpose(1, 2)).transpose(1, 2)
        x = x + self.channels(self.norm2(x))
        return self.head(x.mean(1))


def autoencoder():
    return nn.Sequential(
        nn.Linear(32, 24), nn.Tanh(), nn.Linear(24, 6), nn.Tanh(), nn.Linear(6, 24), nn.Tanh(), nn.Linear(24, 32), nn.Sigmoid()
    )


def conv_autoencoder():
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, 2, 1), nn.Tanh(), nn.Conv2d(8, 12, 3, 2, 1), nn.Tanh(), nn.Flatten(), nn.Linear(192, 12), nn.Tanh(),
        nn.Linear(12, 192), nn.Unflatten(1, (12, 4, 4)), nn.ConvTranspose2d(12, 8, 3, 2, 1, output_padding=1), nn.Tanh(),
        nn.ConvTranspose2d(8, 1, 2, 2), nn.Sigmoid()
    )


class UNet(nn.Module):
    def __init__(self, up):
        super().__init__()

        def pair(inputs, outputs):
            return nn.Sequential(conv_bn(inputs, outputs, act=nn.ReLU), conv_bn(outputs, outputs, act=nn.ReLU))

        self.down1, self.down2, self.bottom = pair(1, 8), pair(8, 12), pair(12, 16)
        if up == "transposed":
            self.up2, self.up1 = nn.ConvTranspose2d(16, 12, 2, 2), nn.ConvTranspose2d(12, 8, 2, 2)
        elif up == "shuffle":
            self.up2 = nn.Sequential(nn.Conv2d(16, 48, 1), nn.PixelShuffle(2))
            self.up1 = nn.Sequential(nn.Conv2d(12, 32, 1), nn.PixelShuffle(2))
        elif up == "size":
            self.up2 = self.up1 = None
        else:
            corners = {} if up == "nearest" else {"align_corners": up == "corners"}
            up = nn.Upsample(scale_factor=2, mode="nearest" if up == "nearest" else "bilinear", **corners)
            self.up2, self.up1 = nn.Sequential(up, nn.Conv2d(16, 12, 1)), nn.Sequential(up, nn.Conv2d(12, 8, 1))
        if up == "size":
            self.join2, self.join1 = pair(28, 12), pair(20, 8)
        else:
            self.join2, self.join1 = pair(24, 12), pair(16, 8)
        self.head = nn.Conv2d(8, 2, 1)

    def enlarge(self, up, x, like):
        return up(x) if up else F.interpolate(x, size=like.shape[-2:], mode="bilinear", align_corners=False)

    def forward(self, x):
        high = self.down1(x)
        middle = self.down2(F.max_pool2d(high, 2))
        low = self.bottom(F.max_pool2d(middle, 2))
        x = self.join2(torch.cat([middle, self.enlarge(self.up2, low, middle)], 1))
        x = self.join1(torch.cat([self.enlarge(self.up1, x, high), high], 1))
        return self.head(x)


class Embedded(nn.Module):
    """Ids of int64, embedded; `counted` weights them by a running count."""

    def __init__(self, counted=False):
        super().__init__()
        self.counted, self.embed = counted, nn.Embedding(20, 8)
        self.positions, self.hidden, self.head = nn.Embedding(12, 8), nn.Linear(8, 16), nn.Linear(16, 4)

    def forward(self, ids):
        x = self.embed(ids) + self.positions(torch.arange(ids.size(1)))
        if self.counted:
            x = torch.cumsum(x, dim=1) / torch.arange(1, 13)[:, None]
            return self.head(F.relu(self.hidden(x))[:, -1])
        return self.head(F.relu(self.hidden(x)).mean(1))


class Answer(nn.Module):
    """A network that answers with a class, or with the best classes, not with their scores."""

    def __init__(self, kind):
        super().__init__()
        self.kind, self.net = kind, separable()

    def forward(self, x):
        scores = self.net(x)
        if self.training:
            return scores
        if self.kind == "argmax":
            return scores.argmax(dim=1)
        best, classes = torch.topk(scores.softmax(1), 2)
        return classes[:, 0], best


class TwoSensors(nn.Module):
    def __init__(self):
        super().__init__()
        self.image = nn.Sequential(nn.Conv2d(1, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 12, 3, 2, 1), nn.ReLU())
        self.vector = nn.Sequential(nn.Linear(6, 12), nn.ReLU())
        self.head = nn.Sequential(nn.Linear(24, 24), nn.ReLU(), nn.Linear(24, 4))

    def forward(self, image, vector):
        image = self.image(image).mean([2, 3])
        return self.head(torch.cat([image * torch.sigmoid(self.vector(vector)), self.vector(vector)], dim=-1))


class Maximum(nn.Module):
    def forward(self, x):
        return x.amax((2, 3))


class TwoAnswers(nn.Module):
    """Classes, a feature vector of length 1, and a number from 0 to 1."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(conv_bn(1, 8, stride=2), conv_bn(8, 12, stride=2), Maximum())
        self.classes, self.feature, self.energy = nn.Linear(12, 4), nn.Linear(12, 6), nn.Linear(12, 1)

    def forward(self, x):
        x = self.body(x)
        return self.classes(x), F.normalize(self.feature(x), dim=1), torch.sigmoid(self.energy(x)).squeeze(-1)


class Shapes(nn.Module):
    """What makes exporters write subgraphs of Shape, Gather, Concat and Reshape."""

    def __init__(self):
        super().__init__()
        self.mean, self.scale = nn.Parameter(torch.zeros(1, 4, 1), requires_grad=False), nn.Parameter(torch.ones(4))
        self.conv, self.norm, self.head = nn.Conv1d(8, 12, 3, padding=1), nn.LayerNorm([12, 8]), nn.Linear(12 * 8, 4)

    def forward(self, x):
        n, c, t = x.shape
        x = (x - x.mean(-1, keepdim=True)) / (x.std(dim=-1, keepdim=True) + 1e-3) - self.mean.expand(n, -1, t)
        x = x * self.scale.view(1, -1, 1)
        x = x.reshape(n, c, t // 2, 2).permute(0, 1, 3, 2).reshape(n, c * 2, t // 2)
        x = F.gelu(self.conv(x))
        x = torch.stack([x[..., ::2], x[..., 1::2]], dim=-1).max(dim=-1).values
        x = torch.where(x > 0.5, x, 0.5 * x).clamp(-2, 2)
        x = self.norm(x)
        first, second = torch.split(x, [4, 8], dim=1)
        x = torch.cat([second, first * torch.ones_like(first).sum(1, keepdim=True).sqrt()], dim=1)
        return self.head(x.contiguous().view(n, -1))


class Volume(nn.Module):
    """Convolutions over space and time."""

    def __init__(self):
        super().__init__()
        self.conv, self.pool = nn.Conv3d(1, 6, 3, 2, 1), nn.MaxPool3d((1, 2, 2))
        self.next, self.head = nn.Conv3d(6, 8, 3, padding=1), nn.Linear(8, 4)

    def forward(self, x):
        x = x.reshape(x.shape[0], 1, 4, 8, 8)
        return self.head(F.relu(self.next(self.pool(F.relu(self.conv(x))))).mean((2, 3, 4)))


def mlp(inputs=10):
    return nn.Sequential(
        nn.BatchNorm1d(inputs), nn.Linear(inputs, 24), nn.ReLU(), nn.Linear(24, 16), nn.SiLU(), nn.Linear(16, 4), nn.Softmax(1)
    )


IMAGES, COLOURS, FRAMES = tasks.gratings(), tasks.gratings(3), tasks.waves(frames=True)

# name: (how to make it, its task)
NETWORKS = {
    "inverted_residuals": (inverted_residuals, COLOURS),
    "residuals": (residuals, IMAGES),
    "squeeze_excite": (squeeze_excite, COLOURS),
    "silu": (Silu, COLOURS),
    "shufflenet": (shufflenet, IMAGES),
    "separable": (separable, IMAGES),
    "densenet": (densenet, IMAGES),
    "groupnorm": (lambda: normalised(lambda c: nn.GroupNorm(4, c)), IMAGES),
    "instancenorm": (lambda: normalised(lambda c: nn.InstanceNorm2d(c, affine=True)), IMAGES),
    "convnext": (convnext, COLOURS),
    "activations": (Activations, tasks.waves()),
    "dilated": (dilated, tasks.waves()),
    "causal": (causal, tasks.waves()),
    "wavenet": (WaveNet, tasks.waves()),
    "tcn": (tcn, tasks.waves()),
    "keywords": (Keywords, tasks.gratings(1, 25, 10)),
    "rnn": (lambda: Recurrent(nn.RNN), tasks.waves(length=16, frames=True)),
    "gru": (lambda: Recurrent(nn.GRU), FRAMES),
    "gru_time_first": (lambda: Recurrent(nn.GRU, frames=False), FRAMES),
    "gru_deep": (lambda: Recurrent(nn.GRU, layers=2, pooled=True), FRAMES),
    "gru_hidden": (lambda: Hidden(nn.GRU), tasks.waves()),
    "gru_stepwise": (Stepwise, tasks.forecast()),
    "gru_cell": (Cell, tasks.waves()),
    "lstm": (lambda: Recurrent(nn.LSTM), FRAMES),
    "lstm_both_ways": (lambda: Recurrent(nn.LSTM, bidirectional=True, pooled=True), FRAMES),
    "lstm_hidden": (lambda: Hidden(nn.LSTM), tasks.waves()),
    "vit": (Vit, IMAGES),
    "attention_sdpa": (lambda: Frames("sdpa"), FRAMES),
    "attention_einsum": (lambda: Frames("einsum", LayerNormByHand), FRAMES),
    "attention_matmul": (lambda: Frames("matmul", RMSNorm), FRAMES),
    "attention_rms": (lambda: Frames("sdpa", nn.RMSNorm), FRAMES),
    "attention_causal": (lambda: Frames("causal"), FRAMES),
    "attention_masked": (MaskedFrames, tasks.masked()),
    "attention_mask_added": (lambda: MaskedFrames("added"), tasks.masked()),
    "attention_mask_sdpa": (lambda: MaskedFrames("sdpa"), tasks.masked()),
    "attention_encoder": (PaddedEncoder, tasks.masked()),
    "attention_multihead": (MultiHead, tasks.waves()),
    "mixer": (Mixer, IMAGES),
    "autoencoder": (autoencoder, tasks.manifold()),
    "autoencoder_conv": (conv_autoencoder, tasks.smooth_images()),
    "unet_transposed": (lambda: UNet("transposed"), tasks.discs()),
    "unet_nearest": (lambda: UNet("nearest"), tasks.discs()),
    "unet_bilinear": (lambda: UNet("bilinear"), tasks.discs()),
    "unet_corners": (lambda: UNet("corners"), tasks.discs()),
    "unet_size": (lambda: UNet("size"), tasks.discs()),
    "unet_shuffle": (lambda: UNet("shuffle"), tasks.discs()),
    "embedding": (Embedded, tasks.tokens()),
    "cumsum": (lambda: Embedded(counted=True), tasks.tokens()),
    "argmax": (lambda: Answer("argmax"), IMAGES),
    "topk": (lambda: Answer("topk"), IMAGES),
    "two_inputs": (TwoSensors, tasks.two_sensors()),
    "three_outputs": (TwoAnswers, IMAGES),
    "shapes": (Shapes, tasks.waves()),
    "volume": (Volume, tasks.gratings(4, 8, 8)),
    "mlp": (mlp, tasks.table()),
}
