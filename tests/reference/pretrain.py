"""Three optimiser steps of pretraining in PyTorch, for `tests/tests/pretrain.rs`.

Usage: pretrain.py GOLDEN OUT

GOLDEN holds NAME.pth and NAME.io.safetensors of the pretraining networks; OUT is the JSON to write:
learning rates and losses of every step, and for every parameter some of its values
after three steps, and how far float32 leads PyTorch itself from these float64 results. Step `s` masks the blocks `(i, j, k)` of 4^3 voxels with
`(7 i + 5 j + 3 k + 11 s) % 10 < 6`.
"""

import json
import sys

import torch
from safetensors.torch import load_file

from networks import MedNeXt, PlainDecoder, UNet

STEPS, WARMUP, TOTAL, RATE = 3, 2, 5, 1e-3


def decoder_names(head, convolutions=1):
    for i in range(4):
        yield f"{head}.upsample{i + 1}"
    for i in range(4):
        for unit in range(1, convolutions + 1):
            yield from (f"{head}.decoder_conv{i + 1}.conv{unit}.{part}" for part in ("conv", "norm"))
    yield f"{head}.out_conv"


def unet_names(convolutions=1):
    stages = ["in_conv"] + [f"encoder_conv{i}" for i in range(1, 5)]
    for stage in stages:
        for unit in (1, 2):
            yield from (f"encoder.{stage}.conv{unit}.{part}" for part in ("conv", "norm"))
    yield from decoder_names("rec_head", convolutions)


def mednext_names(blocks, convolutions=1):
    parts = ("conv1", "norm", "conv2", "conv3")
    yield "encoder.stem"
    stages = [f"enc_block_{i}" for i in range(4)] + ["bottleneck"]
    for stage, count in zip(stages, blocks):
        for block in range(count):
            yield from (f"encoder.{stage}.{block}.{part}" for part in parts)
    for i in range(4):
        yield from (f"encoder.down_{i}.{part}" for part in parts + ("res_conv",))
    yield from decoder_names("rec_head", convolutions)


def light(network, filters):
    network.decoder = PlainDecoder(filters, 1, False)
    return network


def networks():
    yield "unet_pre_4_32", UNet(4, outputs=1, skips=False), list(unet_names())
    blocks = (1, 2, 1, 1, 1)
    network = MedNeXt(outputs=1, filters=4, blocks=blocks)
    yield "mednext_light_4_1_32", light(network, 4), list(mednext_names(blocks))


def load(network, names, state):
    """Names our modules as the published networks do, and loads their weights."""
    modules = [m for m in network.modules() if getattr(m, "weight", None) is not None]
    assert len(modules) == len(names), (len(modules), len(names))
    named = {}
    for name, module in zip(names, modules):
        for kind in ("weight", "bias"):
            parameter = getattr(module, kind)
            parameter.data.copy_(state[f"model.{name}.{kind}"])
            named[f"{name}.{kind}"] = parameter
    assert len(named) == len(state)
    return named


def mask(size, step):
    block = torch.arange(size) // 4
    i, j, k = block[:, None, None], block[None, :, None], block[None, None, :]
    return ((7 * i + 5 * j + 3 * k + 11 * step) % 10 < 6).double()


def sample(values):
    values = values.detach().flatten()
    places = torch.arange(16) * 7919 % len(values)
    return [float(f"{v:.9g}") for v in values[places].tolist()]


def train(network, named, io):
    image, target = io["input"], io["target"]
    optimizer = torch.optim.AdamW(network.parameters(), lr=RATE)
    schedulers = [
        torch.optim.lr_scheduler.LinearLR(optimizer, 1 / 1000, 1.0, WARMUP),
        torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, TOTAL - WARMUP),
    ]
    scheduler = torch.optim.lr_scheduler.SequentialLR(optimizer, schedulers, [WARMUP])
    steps = []
    for step in range(STEPS):
        masked = mask(image.shape[-1], step).to(image.dtype).expand_as(image)
        error = (network(image * (1 - masked)) - target).square()
        loss = error.mean()
        optimizer.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(network.parameters(), 1e9)
        steps.append(
            {
                "lr": scheduler.get_last_lr()[0],
                "loss": float(loss.detach()),
                "masked": float((error * masked).detach().sum() / masked.sum()),
                "visible": float((error * (1 - masked)).detach().sum() / (1 - masked).sum()),
                "norm": float(norm),
            }
        )
        gradients = {name: float(p.grad.norm()) for name, p in named.items()}
        optimizer.step()
        scheduler.step()
    parameters = {
        name: {
            "gradient": gradients[name],
            "values": sample(p),
            "all": p.detach(),
        }
        for name, p in named.items()
    }
    return {"steps": steps, "parameters": parameters}


def rounding(single, double):
    """Adds to `double` the relative difference of the weights that float32 arithmetic made."""
    for (name, found), parameter in zip(single.items(), double["parameters"].values()):
        found, exact = found.detach().double(), parameter.pop("all")
        parameter["rounding"] = float((found - exact).norm() / exact.norm())


def rates(warmup, total, count):
    optimizer = torch.optim.AdamW([torch.zeros(1, requires_grad=True)], lr=1e-4)
    schedulers = [
        torch.optim.lr_scheduler.LinearLR(optimizer, 1 / 1000, 1.0, warmup),
        torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, total - warmup),
    ]
    scheduler = torch.optim.lr_scheduler.SequentialLR(optimizer, schedulers, [warmup])
    found = []
    for _ in range(count):
        found.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    return found


def adamw():
    weight = ((torch.arange(6).double() - 2.5) / 3).requires_grad_()
    optimizer = torch.optim.AdamW([weight], 0.01, betas=(0.9, 0.98), eps=1e-6, weight_decay=0.1)
    size = 10.0 ** (torch.arange(6) - 3)
    for step in range(20):
        weight.grad = torch.sin((step * 6 + torch.arange(6)) * 0.7).double() * size
        optimizer.step()
    state = optimizer.state[weight]
    return {
        "weight": weight.tolist(),
        "mean": state["exp_avg"].tolist(),
        "square": state["exp_avg_sq"].tolist(),
    }


def main():
    golden, out = sys.argv[1:]
    result = {"schedule": {"warmup": 50, "steps": 1000, "lr": rates(50, 1000, 1000)[::37]}}
    result["adamw"] = adamw()
    for (name, single, names), (_, double, _) in zip(networks(), networks()):
        state = torch.load(f"{golden}/{name}.pth")
        io = load_file(f"{golden}/{name}.io.safetensors")
        weights = load(single, names, state)
        torch.testing.assert_close(single(io["input"]), io["output"], rtol=1e-4, atol=1e-5)
        train(single, weights, io)
        double.double()
        io = {key: value.double() for key, value in io.items()}
        result[name] = train(double, load(double, names, state), io)
        rounding(weights, result[name])
    with open(out, "w") as file:
        json.dump(result, file, indent=1)
        file.write("\n")


if __name__ == "__main__":
    main()
