"""SwinUNETR's pretraining by PyTorch and MONAI, for `tests/tests/swin_pretext.rs`.

Usage: swin_pretext.py > ../data/swin_pretext.json

Number n of a tensor with phase p is `scale * (sin(0.37 n + p) + 0.5 cos(0.11 n * n + 2 p))`, view v
is turned `(v * v + v + 1) % 4` times. The loss is written down with PyTorch's own operations
(`cross_entropy`, `l1_loss`), in float64. Of gradients every EVERY-th number is kept.

The network is MONAI's encoder under the heads, whose parameters have the published names (the
encoder's are under `swinViT.` as in MONAI's SwinUNETR). The numbers of the parameter that is the
p-th by name have the phase 0.7 p and the scale `1 / sqrt(numbers / first size)`; norms are 1 more,
biases are scaled by 0.1. Input and target are numbers, too.
"""

import json
import math
import sys

import torch
from monai.networks.nets.swin_unetr import SwinTransformer
from torch import nn
from torch.nn import functional as F

EVERY = 7
CASES = [
    {"name": "published", "batch": 4, "features": 24, "shape": [2, 3, 4]},
    {"name": "two patches", "batch": 2, "features": 5, "shape": [1, 2, 2]},
    {"name": "cold", "batch": 3, "features": 12, "shape": [2, 2, 2], "temperature": 0.02},
    {
        "name": "weights",
        "batch": 3,
        "features": 8,
        "shape": [3, 2, 2],
        "temperature": 0.1,
        "weights": [0.25, 2.0, 10.0],
    },
    {"name": "one patch", "batch": 1, "features": 6, "shape": [2, 2, 2]},
]


def numbers(shape, phase, scale=1.0):
    n = torch.arange(math.prod(shape), dtype=torch.float64)
    return (scale * (torch.sin(0.37 * n + phase) + 0.5 * torch.cos(0.11 * n * n + 2 * phase))).reshape(shape)


def contrast(code, temperature):
    """Each row of cosines is a classification whose right class is the other view."""
    views = len(code)
    cosine = F.cosine_similarity(code[:, None], code[None], dim=-1)
    cosine = cosine.masked_fill(torch.eye(views, dtype=torch.bool), -torch.inf)
    return F.cross_entropy(cosine / temperature, torch.arange(views).roll(views // 2))


def rotations():
    """Every quarter turn of a patch whose voxels are numbered."""
    patch = torch.arange(2 * 3 * 3).reshape(2, 3, 3)
    return [torch.rot90(patch, k, (-2, -1)).flatten().tolist() for k in range(4)]


class Pretraining(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.swinViT = SwinTransformer(
            in_chans=1,
            embed_dim=features,
            window_size=(7, 7, 7),
            patch_size=(2, 2, 2),
            depths=(2, 2, 2, 2),
            num_heads=(3, 6, 12, 24),
        )
        widths = [16 * features, 8 * features, 4 * features, 2 * features, features, features]
        self.rotation_head = nn.Linear(widths[0], 4)
        self.contrastive_head = nn.Linear(widths[0], 512)
        layers = []
        for before, after in zip(widths, widths[1:]):
            layers.append(nn.Conv3d(before, after, 3, padding=1))
            layers.append(nn.InstanceNorm3d(after))
            layers.append(nn.LeakyReLU())
            layers.append(nn.Upsample(scale_factor=2, mode="trilinear"))
        self.conv = nn.Sequential(*layers, nn.Conv3d(features, 1, 1))

    def forward(self, x):
        deepest = self.swinViT(x)[-1]
        voxels = deepest.flatten(2)
        return self.rotation_head(voxels[..., 0]), self.contrastive_head(voxels[..., 1]), self.conv(deepest)


NETWORK = {"features": 12, "shape": [64, 32, 32], "batch": 2}
KEPT = 5


def network():
    net = Pretraining(NETWORK["features"]).double()
    with torch.no_grad():
        for p, (name, parameter) in enumerate(sorted(net.named_parameters())):
            scale = (parameter.numel() / parameter.shape[0]) ** -0.5
            if name.endswith("bias"):
                scale *= 0.1
            value = numbers(tuple(parameter.shape), 0.7 * p, scale)
            parameter.copy_(value + 1 if ".norm" in name and name.endswith("weight") else value)
    views = 2 * NETWORK["batch"]
    x = 0.5 + 0.3 * numbers((views, 1, *NETWORK["shape"]), 0.4)
    target = 0.5 + 0.3 * numbers((views, 1, *NETWORK["shape"]), 1.4)
    turns = torch.tensor([(v * v + v + 1) % 4 for v in range(views)])
    rotation, code, restored = net(x)
    parts = {
        "rotation": F.cross_entropy(rotation, turns),
        "contrastive": contrast(code, 0.5),
        "inpainting": F.l1_loss(restored, target),
    }
    loss = sum(parts.values())
    loss.backward()

    def kept(values):
        return values.flatten()[:: max(1, values.numel() // KEPT)].tolist()

    return NETWORK | {
        "parameters": {name: list(p.shape) for name, p in sorted(net.named_parameters())},
        "output": {"rotation": kept(rotation), "code": kept(code), "restored": kept(restored)},
        "loss": loss.item(),
        "parts": {k: p.item() for k, p in parts.items()},
        "gradients": {
            name: {"largest": p.grad.abs().max().item(), "values": kept(p.grad)}
            for name, p in sorted(net.named_parameters())
        },
    }


def main():
    cases = []
    for case in CASES:
        views = 2 * case["batch"]
        rotation = numbers((views, 4), 0.3, 2.0).requires_grad_()
        code = numbers((views, case["features"]), 1.7).requires_grad_()
        restored = numbers((views, 1, *case["shape"]), 0.9).requires_grad_()
        target = numbers((views, 1, *case["shape"]), 2.9)
        turns = torch.tensor([(v * v + v + 1) % 4 for v in range(views)])
        parts = {
            "rotation": F.cross_entropy(rotation, turns),
            "contrastive": contrast(code, case.get("temperature", 0.5)),
            "inpainting": F.l1_loss(restored, target),
        }
        weights = case.get("weights", [1.0, 1.0, 1.0])
        loss = sum(w * p for w, p in zip(weights, parts.values()))
        loss.backward()
        gradients = {"rotation": rotation, "code": code, "restored": restored}
        cases.append(
            case
            | {
                "loss": loss.item(),
                "parts": {k: p.item() for k, p in parts.items()},
                "gradients": {k: t.grad.flatten()[::EVERY].tolist() for k, t in gradients.items()},
            }
        )
    json.dump({"every": EVERY, "rotations": rotations(), "cases": cases, "network": network()}, sys.stdout)
    print()


main()
