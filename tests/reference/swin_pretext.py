"""SwinUNETR's pretraining losses by PyTorch, for `tests/tests/swin_pretext.rs`.

Usage: swin_pretext.py > ../data/swin_pretext.json

Number n of a tensor with phase p is `scale * (sin(0.37 n + p) + 0.5 cos(0.11 n * n + 2 p))`, view v
is turned `(v * v + v + 1) % 4` times. The loss is written down with PyTorch's own operations
(`cross_entropy`, `l1_loss`), in float64. Of gradients every EVERY-th number is kept.
"""

import json
import math
import sys

import torch
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
    json.dump({"every": EVERY, "rotations": rotations(), "cases": cases}, sys.stdout)
    print()


main()
