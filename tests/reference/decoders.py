"""The decoders of the paper's ablation in PyTorch, for `tests/tests/decoders.rs`.

Usage: decoders.py OUT

OUT is the JSON to write: for each network some values of its output and gradients, the loss and the
gradients' norms, in float64. The test makes weights and images itself: value `n` of a weight is
`draw(t, n)`, scaled, where `t` is the sum of the bytes of its name.
"""

import json
import sys

import numpy as np
import torch

from networks import MedNeXt, PlainDecoder, UNet
from pretrain import mednext_names, unet_names

SIZE = 32
BLOCKS = (1, 1, 2, 1, 1)


def draw(tensor, count):
    """Numbers in [-1, 1) from a hash of 32 bits."""
    low = np.uint64(0xFFFFFFFF)
    h = np.arange(count, dtype=np.uint64) * np.uint64(2654435761) + np.uint64(tensor * 40503)
    h &= low
    h ^= h >> np.uint64(16)
    h = h * np.uint64(2246822519) & low
    h ^= h >> np.uint64(13)
    h = h * np.uint64(3266489917) & low
    h ^= h >> np.uint64(16)
    return h / 2.0**31 - 1


def values(tensor, name, shape, gain=1):
    v = torch.from_numpy(draw(tensor, int(np.prod(shape)))).reshape(shape)
    if ".norm." in name:
        v = 0.1 * v + (1 if name.endswith("weight") else 0)
    elif name.endswith("weight"):
        v = v * (gain * (shape[0] / v.numel()) ** 0.5)
    else:
        v = 0.1 * v
    # The test has float32.
    return v.float().double()


def image(tensor, size=(SIZE, SIZE, SIZE)):
    v = 0.5 * draw(tensor, int(np.prod(size))) + 0.5
    return torch.from_numpy(v).float().double().reshape(1, 1, *size)


def networks():
    for name, skips, convolutions in (
        ("standard", False, 2),
        ("light_skips", True, 1),
        ("standard_skips", True, 2),
    ):
        net = UNet(2, outputs=1)
        net.decoder = PlainDecoder(2, 1, skips, convolutions)
        yield f"unet_{name}", net, list(unet_names(convolutions))
        net = MedNeXt(outputs=1, filters=3, blocks=BLOCKS)
        net.decoder = PlainDecoder(3, 1, skips, convolutions)
        yield f"mednext_{name}", net, list(mednext_names(BLOCKS, convolutions))


def sample(v, count):
    v = v.detach().flatten()
    places = torch.arange(count) * 7919 % len(v)
    return [float(f"{x:.8g}") for x in v[places].tolist()]


def run(net, names):
    net.double()
    modules = [m for m in net.modules() if getattr(m, "weight", None) is not None]
    assert len(modules) == len(names), (len(modules), len(names))
    named = {}
    for name, module in zip(names, modules):
        for kind in ("weight", "bias"):
            named[f"{name}.{kind}"] = getattr(module, kind)
    for name, parameter in named.items():
        shape = tuple(parameter.shape)
        parameter.data.copy_(values(sum(name.encode()), name, shape))
    return recorded(net, named, (SIZE, SIZE, SIZE), 5)


def recorded(net, named, size, count):
    """Output, loss and gradients of an image of `size` voxels; `count` values of each gradient."""
    x = image(1, size).requires_grad_()
    y = net(x)
    loss = (y - image(2, size)).square().mean()
    loss.backward()
    gradients = {
        name: torch.zeros_like(p) if p.grad is None else p.grad for name, p in named.items()
    }
    gradients["input"] = x.grad
    return {
        "output": sample(y, 64),
        "loss": float(loss.detach()),
        "parameters": sum(p.numel() for p in named.values()),
        "gradients": {
            name: {"norm": float(f"{g.norm().item():.9g}"), "values": sample(g, count)}
            for name, g in gradients.items()
        },
    }


def main():
    result = {name: run(net, names) for name, net, names in networks()}
    with open(sys.argv[1], "w") as file:
        json.dump(result, file, separators=(",", ":"))
        file.write("\n")


if __name__ == "__main__":
    main()
