"""SwinUNETR in MONAI, for `tests/tests/swin.rs`.

Usage: swin.py OUT
       swin.py --golden FOLDER

OUT is the JSON to write: for each network some values of its outputs and gradients, the loss and
the gradients' norms, in float64; of whole networks how far float32's gradients are; and the numbers
of parameters of the published sizes. The test makes weights and images itself: value `n` of a weight
is `draw(t, n)`, scaled, where `t` is the sum of the bytes of its name. Needs monai.

FOLDER gets a state dict and its inputs, outputs and gradients, for `tests/tests/golden.rs`
(`AMAES_GOLDEN`) and the tests in a browser (`AMAES_DATA` is the folder that FOLDER, called
`golden`, is in). These need safetensors.
"""

import json
import pathlib
import sys

import numpy as np
import torch
from monai.networks.nets import SwinUNETR
from monai.networks.nets.swin_unetr import PatchMergingV2

from decoders import draw, sample

ENCODER = "swinViT."
# A gradient with less than this share of the largest norm is zero but for rounding.
ZERO = 1e-6


class Repeated(PatchMergingV2):
    """`PatchMerging` as it was up to MONAI 1.4: the voxels that it merged."""

    VOXELS = ["000", "100", "010", "001", "101", "010", "001", "111"]

    def forward(self, x):
        parts = [x[:, int(d) :: 2, int(h) :: 2, int(w) :: 2] for d, h, w in self.VOXELS]
        return self.reduction(self.norm(torch.cat(parts, -1)))


def values(name, shape):
    """A parameter; float32 because the test has that."""
    v = torch.from_numpy(draw(sum(name.encode()), int(np.prod(shape)))).reshape(shape)
    if ".norm" in name:
        v = 0.1 * v + (1 if name.endswith("weight") else 0)
    elif name.endswith("weight"):
        v = v * (shape[0] / v.numel()) ** 0.5
    else:
        v = 0.1 * v
    return v.float().double()


def image(tensor, shape):
    v = 0.5 * draw(tensor, int(np.prod(shape))) + 0.5
    return torch.from_numpy(v).float().double().reshape(shape)


def network(case):
    net = SwinUNETR(
        case["in_channels"],
        case["out_channels"],
        feature_size=case["features"],
        downsample={"v1": "merging", "v2": "mergingv2", "repeated": Repeated}[case["merging"]],
        use_v2=case["v2"],
    ).double()
    for name, parameter in net.named_parameters():
        parameter.data.copy_(values(name, tuple(parameter.shape)))
    return net


def run(case):
    net = network(case)
    outputs, loss, gradients = step(case, net)
    found = {
        name: {
            "shape": list(g.shape),
            "norm": float(f"{g.norm().item():.9g}"),
            "values": sample(g, 3),
        }
        for name, g in gradients.items()
    }
    result = {
        **case,
        "outputs": [{"shape": list(y.shape), "values": sample(y, 48)} for y in outputs],
        "loss": float(loss.detach()),
        "gradients": found,
    }
    if case["part"] == "whole":
        rounded = step(case, net.float())[2]
        result["float32"] = float(f"{farthest(found, rounded):.3g}")
    return result


def step(case, net):
    """Outputs, loss and gradients in the precision of `net`."""
    net.zero_grad()
    dtype = next(net.parameters()).dtype
    x = image(1, (1, case["in_channels"], *case["size"])).to(dtype).requires_grad_()
    if case["part"] == "encoder":
        outputs = net.swinViT(x, case["normalize"])
        prefix = ENCODER
    else:
        outputs = [net(x)]
        prefix = ""
    targets = [image(i + 2, tuple(y.shape)).to(dtype) for i, y in enumerate(outputs)]
    loss = sum((y - target).square().mean() for y, target in zip(outputs, targets))
    loss.backward()
    gradients = {k: p.grad for k, p in net.named_parameters() if k.startswith(prefix)}
    gradients = {k.removeprefix(prefix): g for k, g in gradients.items() if g is not None}
    return outputs, loss, {**gradients, "input": x.grad}


def farthest(found, rounded):
    """How far gradients in float32 are from those found, at the farthest, as the test measures it.

    A voxel near a kink of LeakyReLU may get the other slope, of which all gradients before it know.
    """
    largest = max(g["norm"] for g in found.values())
    result = 0.0
    for name, expected in found.items():
        if name != "input" and expected["norm"] < ZERO * largest:
            continue
        gradient = rounded[name].double()
        norm = gradient.norm().item()
        mean = norm / gradient.numel() ** 0.5
        result = max(result, abs(norm / expected["norm"] - 1))
        for value, e in zip(sample(gradient, 3), expected["values"]):
            result = max(result, abs(value - e) / (abs(e) + mean))
    return result


def cases():
    base = {"features": 12, "in_channels": 1, "out_channels": 2, "v2": False, "merging": "v1"}
    cube, box = [64, 64, 64], [64, 96, 32]
    encoder = {"part": "encoder", "normalize": True}
    yield {**base, **encoder, "name": "encoder", "size": cube}
    yield {
        **base,
        **encoder,
        "name": "encoder v2",
        "size": box,
        "v2": True,
        "merging": "v2",
        "in_channels": 2,
        "normalize": False,
    }
    # Odd edges at every level.
    yield {**base, **encoder, "name": "encoder odd", "size": [38, 45, 21]}
    yield {
        **base,
        **encoder,
        "name": "encoder repeated",
        "size": [32, 32, 32],
        "merging": "repeated",
    }
    whole = {"part": "whole"}
    yield {**base, **whole, "name": "12", "size": box}
    yield {**base, **whole, "name": "12 v2", "size": [64, 32, 32], "v2": True, "in_channels": 2}
    yield {**base, **whole, "name": "24", "size": cube, "features": 24}
    yield {**base, **whole, "name": "24 box", "size": box, "features": 24}
    # In a browser too.
    yield {**base, **whole, "name": "12 cube", "size": cube}
    yield {**base, **whole, "name": "12 v2 cube", "size": cube, "v2": True}


def counts():
    for features in (24, 36, 48, 60):
        for v2 in (False, True):
            net = SwinUNETR(1, 2, feature_size=features, use_v2=v2)
            yield {
                "features": features,
                "v2": v2,
                "all": sum(p.numel() for p in net.parameters()),
                "encoder": sum(p.numel() for p in net.swinViT.parameters()),
            }


def write_golden(folder, case):
    import safetensors.torch

    net = network(case)
    x = image(1, (1, case["in_channels"], *case["size"])).requires_grad_()
    y = net(x)
    target = image(2, tuple(y.shape))
    loss = (y - target).square().mean()
    loss.backward()
    tensors = {"input": x, "output": y, "target": target, "loss": loss, "grad.input": x.grad}
    tensors |= {f"grad.{k}": p.grad for k, p in net.named_parameters()}
    tensors = {k: t.detach().float().contiguous() for k, t in tensors.items()}
    name = "swin_unetr_" + case["name"].replace(" ", "_")
    safetensors.torch.save_file(tensors, folder / f"{name}.io.safetensors")
    torch.save(net.float().state_dict(), folder / f"{name}.pth")


def golden(folder):
    """The networks that a browser runs in seconds."""
    folder.mkdir(parents=True, exist_ok=True)
    for case in cases():
        if case["part"] == "whole" and case["features"] == 12:
            write_golden(folder, case)


def main():
    if sys.argv[1] == "--golden":
        return golden(pathlib.Path(sys.argv[2]))
    result = {"counts": list(counts()), "cases": [run(case) for case in cases()]}
    with open(sys.argv[1], "w") as file:
        json.dump(result, file, separators=(",", ":"))
        file.write("\n")


if __name__ == "__main__":
    main()
