"""What finetuning is compared with, for `tests/tests/finetune.rs`.

Usage: finetune.py GOLDEN WEIGHTS > finetune.json

GOLDEN holds `unet_seg_4_1_3_32.pth`. WEIGHTS is the folder for `unet_light.pth` and
`unet_light.ckpt`: a pretrained network of one filter in the two forms that the reference layout
has, the `n`th tensor holding `n + i / count`; and for `unet_encoder.pth`, its encoder alone.

The result has learning rates of PyTorch's cosine, weights after steps of AdamW of which the first
had no gradient, and the logits of the golden network averaged
over windows of 32^3 that overlap by half, on the image `sin(0.37 x + 0.2 y) cos(0.29 z) + 0.01 x`
of 48 x 40 x 56 voxels: by MONAI with constant weights, and window by window with a Gaussian of
an eighth of the window's edge.
"""

import itertools
import json
import math
import sys
from collections import OrderedDict

import torch
from monai.inferers import sliding_window_inference

from networks import UNet
from pretrain import unet_names

SHAPE, PATCH = (48, 40, 56), 32
# Prime, so that the values are of all classes and places.
EVERY = 9973


def rates(epochs, horizon):
    optimizer = torch.optim.AdamW([torch.zeros(1, requires_grad=True)], lr=1e-4)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, horizon, eta_min=1e-9)
    found = []
    for _ in range(epochs):
        found.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    return found


def segmenting(path):
    state = {k.removeprefix("model."): v for k, v in torch.load(path).items()}
    classes, filters = state["pred_head.out_conv.weight"].shape[:2]
    network = UNet(filters, outputs=classes).double()
    names = [n for n in unet_names() if n.startswith("encoder")]
    names += [f"pred_head.upsample{i}" for i in range(1, 5)]
    for i, unit in itertools.product(range(1, 5), (1, 2)):
        names += [f"pred_head.decoder_conv{i}.conv{unit}.{part}" for part in ("conv", "norm")]
    names.append("pred_head.out_conv")
    modules = [m for m in network.modules() if getattr(m, "weight", None) is not None]
    assert len(modules) == len(names) and 2 * len(names) == len(state)
    for name, module in zip(names, modules):
        module.weight.data.copy_(state[f"{name}.weight"])
        module.bias.data.copy_(state[f"{name}.bias"])
    return network.eval()


def image():
    x, y, z = torch.meshgrid(*(torch.arange(n, dtype=torch.float64) for n in SHAPE), indexing="ij")
    return (torch.sin(0.37 * x + 0.2 * y) * torch.cos(0.29 * z) + 0.01 * x)[None, None]


def gaussian(network, x):
    step = PATCH // 2
    axis = torch.arange(PATCH, dtype=torch.float64) - (PATCH - 1) / 2
    line = torch.exp(-0.5 * (axis / (PATCH / 8)) ** 2)
    weight = line[:, None, None] * line[None, :, None] * line[None, None, :]
    sums, weights = 0.0, torch.zeros(SHAPE, dtype=torch.float64)
    for start in itertools.product(
        *(sorted({*range(0, n - PATCH, step), n - PATCH}) for n in SHAPE)
    ):
        window = tuple(slice(s, s + PATCH) for s in start)
        logits = network(x[(..., *window)])[0] * weight
        if isinstance(sums, float):
            sums = torch.zeros(logits.shape[0], *SHAPE, dtype=torch.float64)
        sums[(..., *window)] += logits
        weights[window] += weight
    return sums / weights


def describe(logits):
    values = logits.flatten()
    return {
        "mean": logits.mean((1, 2, 3)).tolist(),
        "deviation": logits.std((1, 2, 3), correction=0).tolist(),
        "classes": torch.bincount(logits.argmax(0).flatten(), minlength=len(logits)).tolist(),
        "values": [float(f"{v:.9g}") for v in values[::EVERY].tolist()],
    }


def frozen():
    """A parameter that takes part in the last five of eight steps."""
    weight = ((torch.arange(6).double() - 2.5) / 3).requires_grad_()
    optimizer = torch.optim.AdamW([weight], 0.01, weight_decay=0.1)
    for step in range(8):
        weight.grad = torch.sin((step * 6 + torch.arange(6)) * 0.7).double() if step > 2 else None
        optimizer.step()
    return weight.tolist()


def light(folder):
    network = UNet(1, outputs=1, skips=False)
    modules = [m for m in network.modules() if getattr(m, "weight", None) is not None]
    state = OrderedDict()
    for name, module in zip(unet_names(), modules, strict=True):
        for kind in ("weight", "bias"):
            shape = getattr(module, kind).shape
            count = math.prod(shape)
            values = len(state) + torch.arange(count, dtype=torch.float64) / count
            state[f"model.{name}.{kind}"] = values.float().reshape(shape)
    torch.save(state, f"{folder}/unet_light.pth")
    encoder = {k: v for k, v in state.items() if k.startswith("model.encoder.")}
    torch.save(encoder, f"{folder}/unet_encoder.pth")
    compiled = {k.replace("model.", "model._orig_mod.", 1): v for k, v in state.items()}
    lightning = {
        "epoch": 3,
        "global_step": 8307,
        "pytorch-lightning_version": "2.4.0",
        "state_dict": OrderedDict(compiled),
        "loops": {"fit_loop": {"epoch_progress": {"current": {"completed": 3}}}},
        "callbacks": {},
        "optimizer_states": [{"state": {0: {"step": torch.tensor(8307.0)}}, "param_groups": []}],
        "lr_schedulers": [],
        "hparams_name": "config",
        "hyper_parameters": {"config": {"model_name": "unet_b_lw_dec", "patch_size": (128,) * 3}},
    }
    torch.save(lightning, f"{folder}/unet_light.ckpt")
    return {k.removeprefix("model."): list(v.shape) for k, v in state.items()}


def main():
    golden, weights = sys.argv[1:]
    network, x = segmenting(f"{golden}/unet_seg_4_1_3_32.pth"), image()
    with torch.inference_mode():
        constant = sliding_window_inference(x, (PATCH,) * 3, 1, network, 0.5, mode="constant")[0]
        result = {
            "rates": rates(500, 575)[::49],
            "every": EVERY,
            "uniform": describe(constant),
            "gaussian": describe(gaussian(network, x)),
            "weights": light(weights),
        }
    result["frozen"] = frozen()
    json.dump(result, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
