"""The networks in plain PyTorch, to be timed against: U-Net, MedNeXt, ResEnc U-Net, MeshNet.

Layers and channels are those of `core/src/model`; weights are PyTorch's random ones.
"""

import torch
from torch import nn


class Unit(nn.Sequential):
    """Convolution, instance norm, LeakyReLU."""

    def __init__(self, inputs, outputs):
        super().__init__(
            nn.Conv3d(inputs, outputs, 3, padding=1),
            nn.InstanceNorm3d(outputs, affine=True),
            nn.LeakyReLU(0.01, inplace=True),
        )


def stage(inputs, outputs, count=2):
    return nn.Sequential(*(Unit(outputs if i else inputs, outputs) for i in range(count)))


class PlainDecoder(nn.Module):
    """Four times transposed convolution, skip, convolutions; then a 1x1x1 convolution.

    With skips there are two convolutions a stage, without one, if not told otherwise.
    """

    def __init__(self, filters, outputs, skips, convolutions=None):
        super().__init__()
        self.skips = skips
        widths = [filters << level for level in (3, 2, 1, 0)]
        self.up = nn.ModuleList(nn.ConvTranspose3d(2 * c, c, 2, 2) for c in widths)
        self.stages = nn.ModuleList(
            stage(2 * c if skips else c, c, convolutions or (2 if skips else 1)) for c in widths
        )
        self.out = nn.Conv3d(filters, outputs, 1)

    def forward(self, features):
        x = features.pop()
        for up, convolutions in zip(self.up, self.stages):
            x, skip = up(x), features.pop()
            if self.skips:
                x = torch.cat([x, skip], 1)
            del skip
            x = convolutions(x)
        return self.out(x)


class UNet(nn.Module):
    def __init__(self, filters=32, inputs=1, outputs=2, skips=True):
        super().__init__()
        widths = [filters << level for level in range(5)]
        self.encoder = nn.ModuleList(
            stage(inputs if i == 0 else widths[i - 1], c) for i, c in enumerate(widths)
        )
        self.pool = nn.MaxPool3d(2)
        self.decoder = PlainDecoder(filters, outputs, skips)

    def forward(self, x):
        features = []
        for level, convolutions in enumerate(self.encoder):
            x = convolutions(self.pool(x) if level else x)
            features.append(x)
        del x
        return self.decoder(features)


class MedNeXtBlock(nn.Module):
    """Depthwise convolution, channel norm, expansion, GELU, compression; plus the input."""

    def __init__(self, channels, ratio, kernel, down=False):
        super().__init__()
        outputs = 2 * channels if down else channels
        stride = 2 if down else 1
        self.depthwise = nn.Conv3d(
            channels, channels, kernel, stride, kernel // 2, groups=channels
        )
        self.norm = nn.GroupNorm(channels, channels)
        self.widen = nn.Conv3d(channels, ratio * channels, 1)
        self.activation = nn.GELU()
        self.narrow = nn.Conv3d(ratio * channels, outputs, 1)
        self.around = nn.Conv3d(channels, outputs, 1, 2) if down else nn.Identity()

    def forward(self, x):
        y = self.activation(self.widen(self.norm(self.depthwise(x))))
        return self.around(x) + self.narrow(y)


class MedNeXt(nn.Module):
    """MedNeXt's encoder, size M, with the plain decoder."""

    def __init__(
        self,
        inputs=1,
        outputs=2,
        filters=32,
        kernel=3,
        ratios=(2, 3, 4, 4, 4),
        blocks=(3, 4, 4, 4, 4),
    ):
        super().__init__()
        self.stem = nn.Conv3d(inputs, filters, 1)
        self.levels = nn.ModuleList(
            nn.Sequential(*(MedNeXtBlock(filters << i, r, kernel) for _ in range(count)))
            for i, (r, count) in enumerate(zip(ratios, blocks))
        )
        self.down = nn.ModuleList(
            MedNeXtBlock(filters << i, ratios[i + 1], kernel, down=True) for i in range(4)
        )
        self.decoder = PlainDecoder(filters, outputs, True)

    def forward(self, x):
        x = self.stem(x)
        features = []
        for i, level in enumerate(self.levels):
            x = level(self.down[i - 1](x) if i else x)
            features.append(x)
        del x
        return self.decoder(features)


class ResidualBlock(nn.Module):
    """Two convolutions with norms, plus the input: pooled where it is halved, then projected."""

    def __init__(self, inputs, outputs, halve):
        super().__init__()
        stride = 2 if halve else 1
        self.way = nn.Sequential(
            nn.Conv3d(inputs, outputs, 3, stride, 1),
            nn.InstanceNorm3d(outputs, affine=True),
            nn.LeakyReLU(0.01, inplace=True),
            nn.Conv3d(outputs, outputs, 3, padding=1),
            nn.InstanceNorm3d(outputs, affine=True),
        )
        around = [nn.AvgPool3d(2)] if halve else []
        if inputs != outputs:
            around.append(nn.Conv3d(inputs, outputs, 1, bias=False))
            around.append(nn.InstanceNorm3d(outputs, affine=True))
        self.around = nn.Sequential(*around)
        self.activation = nn.LeakyReLU(0.01, inplace=True)

    def forward(self, x):
        y = self.way(x)
        y += self.around(x)
        return self.activation(y)


class ResEncUNet(nn.Module):
    """Residual encoder, and a decoder of one convolution a stage with skips."""

    def __init__(
        self,
        inputs=1,
        outputs=2,
        features=(32, 64, 128, 256, 320, 320),
        blocks=(1, 3, 4, 6, 6, 6),
    ):
        super().__init__()
        self.stem = Unit(inputs, features[0])
        before = (features[0], *features)
        self.stages = nn.ModuleList(
            nn.Sequential(
                *(
                    ResidualBlock(c if i else below, c, level > 0 and i == 0)
                    for i in range(count)
                )
            )
            for level, (below, c, count) in enumerate(zip(before, features, blocks))
        )
        self.decoder = nn.Module()
        down = list(zip(features[::-1], features[-2::-1]))
        self.decoder.up = nn.ModuleList(nn.ConvTranspose3d(a, b, 2, 2) for a, b in down)
        self.decoder.stages = nn.ModuleList(Unit(2 * c, c) for _, c in down)
        self.decoder.out = nn.Conv3d(features[0], outputs, 1)

    def forward(self, x):
        x = self.stem(x)
        features = []
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        x = features.pop()
        for up, stage in zip(self.decoder.up, self.decoder.stages):
            x = stage(torch.cat([up(x), features.pop()], 1))
        return self.decoder.out(x)


class MeshNet(nn.Sequential):
    """model18cls: nine dilated convolutions of 21 channels with ELU, and a classifier."""

    def __init__(self, classes=18, channels=21, dilations=(1, 2, 4, 8, 16, 8, 4, 2, 1)):
        layers = []
        for i, d in enumerate(dilations):
            inputs = channels if i else 1
            layers += [nn.Conv3d(inputs, channels, 3, padding=d, dilation=d), nn.ELU(inplace=True)]
        super().__init__(*layers, nn.Conv3d(channels, classes, 1))


def swin_unetr(features):
    """MONAI's, whose import takes seconds."""
    from monai.networks.nets import SwinUNETR

    return SwinUNETR(1, 2, feature_size=features)


NETWORKS = {
    "unet_b": UNet,
    "unet_b_light": lambda: UNet(outputs=1, skips=False),
    "mednext_m": MedNeXt,
    "resenc_b": ResEncUNet,
    "meshnet_18": MeshNet,
    "swin_unetr_24": lambda: swin_unetr(24),
    "swin_unetr_48": lambda: swin_unetr(48),
}


def dice_cross_entropy(logits, labels):
    """Soft Dice, smooth 1, and cross-entropy, as written by hand."""
    p = logits.softmax(1)
    y = nn.functional.one_hot(labels, logits.shape[1]).movedim(-1, 1).to(p.dtype)
    axes = (2, 3, 4)
    both, either = (p * y).sum(axes), p.sum(axes) + y.sum(axes)
    dice = 1 - ((2 * both + 1) / (either + 1)).mean()
    return dice + nn.functional.cross_entropy(logits, labels)


def prepare_labelled(case):
    """The cases with labels: two patches."""
    size = case["size"]
    shape = (2, size, size, size)
    if case["pass"] == "loss":
        logits = torch.rand(2, 4, size, size, size, requires_grad=True)
        labels = torch.randint(4, shape)
        return lambda: torch.autograd.grad(dice_cross_entropy(logits, labels), logits)
    net, x, labels = NETWORKS[case["network"]](), torch.rand(2, 1, *shape[1:]), torch.randint(2, shape)

    def step():
        net.zero_grad(set_to_none=True)
        dice_cross_entropy(net(x), labels).backward()

    return step


def prepare(case):
    """A function that runs the case once."""
    if case["pass"] in ("finetune", "loss"):
        return prepare_labelled(case)
    net = NETWORKS[case["network"]]()
    size = case["size"]
    x = torch.rand(1, 1, size, size, size)
    if case["pass"] == "step":
        last = [m for m in net.modules() if isinstance(m, nn.Conv3d)][-1]
        target = torch.rand(1, last.out_channels, size, size, size)

        def step():
            net.zero_grad(set_to_none=True)
            nn.functional.mse_loss(net(x), target).backward()

        return step

    def forward():
        with torch.inference_mode():
            y = net(x)
            if case["pass"] == "classes":
                y.argmax(1)

    return forward
