"""Dice + cross-entropy by PyTorch and MONAI, for `tests/tests/loss.rs`.

Usage: loss.py > loss.json

Logits of sample b, class c and voxel v are `2 sin(0.7 v + 1.3 c + 2.1 b) + cos(0.031 v (c + 1))`,
labels `(v * v + 3 b) % classes`, both in the order `[batch, classes, x, y, z]`. Voxels of `unlabelled`
cases with `v % 7 == 0` have no label: there the mean is over the others, and the Dice coefficient
is of images without them. Everything is float64.
"""

import json
import math
import sys

import torch
from monai.losses import DiceLoss

SHAPE = (5, 4, 6)
CASES = [
    {"name": "reference", "classes": 4, "batch": 2},
    {"name": "two classes", "classes": 2, "batch": 3},
    {"name": "without background", "classes": 3, "batch": 2, "background": False},
    {"name": "one coefficient for the batch", "classes": 4, "batch": 3, "over_batch": True},
    {"name": "weights", "classes": 3, "batch": 2, "dice": 0.25, "cross_entropy": 2.0, "smooth": 0.01},
    {"name": "unlabelled voxels", "classes": 3, "batch": 2, "unlabelled": True},
]


def inputs(classes, batch):
    voxels = math.prod(SHAPE)
    v = torch.arange(voxels, dtype=torch.float64)
    b = torch.arange(batch, dtype=torch.float64)[:, None, None]
    c = torch.arange(classes, dtype=torch.float64)[None, :, None]
    logits = 2 * torch.sin(0.7 * v + 1.3 * c + 2.1 * b) + torch.cos(0.031 * v * (c + 1))
    labels = (v.long() ** 2 + 3 * torch.arange(batch)[:, None]) % classes
    return logits, labels


def dice_part(logits, labels, case):
    """MONAI's, which needs images: voxels without label are left out of all samples alike."""
    smooth = case.get("smooth", 1.0)
    loss = DiceLoss(
        include_background=case.get("background", True),
        to_onehot_y=True,
        softmax=True,
        smooth_nr=smooth,
        smooth_dr=smooth,
        batch=case.get("over_batch", False),
    )
    return loss(logits, labels[:, None])


for case in CASES:
    logits, labels = inputs(case["classes"], case["batch"])
    logits.requires_grad_()
    kept = torch.ones(labels.shape[1], dtype=torch.bool)
    if case.get("unlabelled"):
        kept = torch.arange(labels.shape[1]) % 7 != 0
    dice = dice_part(logits[:, :, kept], labels[:, kept], case)
    cross = torch.nn.functional.cross_entropy(logits[:, :, kept], labels[:, kept])
    loss = case.get("dice", 1.0) * dice + case.get("cross_entropy", 1.0) * cross
    loss.backward()
    case["expected"] = {
        "loss": loss.item(),
        "dice": dice.item(),
        "cross_entropy": cross.item(),
        "norm": logits.grad.norm().item(),
        "gradient": logits.grad.flatten()[:: 37].tolist(),
    }

json.dump({"shape": SHAPE, "every": 37, "cases": CASES}, sys.stdout, indent=1)
print()
