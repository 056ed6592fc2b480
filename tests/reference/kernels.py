"""Random cases of every 3-D kernel, with PyTorch's outputs and gradients.

    python tests/reference/kernels.py FOLDER [CASES]

writes one safetensors file and one JSON list per operation; `AMAES_KERNEL_CASES=FOLDER cargo test
--release --workspace --test kernels` compares. Inputs are single precision, PyTorch computes in
double. Needs torch, numpy and safetensors.
"""

import json
import random
import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file

CHANNELS = [1, 3, 5, 8, 16, 21, 30, 33]
ACTIVATIONS = {
    "relu": F.relu,
    "leaky_relu": lambda x: F.leaky_relu(x, 0.01),
    "elu": F.elu,
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "silu": F.silu,
}


def activated(name, x):
    """An activation's output and its argument, or the argument alone."""
    return (ACTIVATIONS[name](x), x) if name else x


def sizes(most):
    return [random.choice([1, random.randint(2, most)]) for _ in range(3)]


def large(channels=(16, 24, 32, 64)):
    """Shapes for which kernels take other paths than for small ones."""
    size = [random.randint(24, 48) for _ in range(3)]
    pair = random.choice(channels), random.choice(channels)
    # Bounds the file: few megabytes a tensor.
    while max(pair) * size[0] * size[1] * size[2] > 1_000_000:
        size = [max(24, s - 4) for s in size] if max(size) > 24 else size
        pair = (pair[0], pair[1] // 2) if pair[1] >= pair[0] else (pair[0] // 2, pair[1])
    return pair, size


def conv3d():
    if random.random() < 0.12:
        (inputs, outputs), size = large()
        meta = dict(stride=1, padding=[[1, 1]] * 3, dilation=1)
        shapes = dict(x=[1, inputs, *size], weight=[outputs, inputs, 3, 3, 3], bias=[outputs])
        return meta, shapes, lambda x, weight, bias: F.conv3d(x, weight, bias, 1, 1)
    kernel = random.choice([1, 3, 3, 3, 5])
    stride = random.choice([1, 1, 2])
    dilation = random.choice([1, 1, 1, 2, 4, 16])
    reach = dilation * (kernel - 1)
    if random.random() < 0.7:
        padding = [[reach // 2] * 2] * 3
    else:
        padding = [[random.randint(0, reach), random.randint(0, reach)] for _ in range(3)]
    size = sizes(13)
    if any(s + sum(p) <= reach for s, p in zip(size, padding)):
        return None
    batch, inputs, outputs = random.randint(1, 3), random.choice(CHANNELS), random.choice(CHANNELS)
    meta = dict(stride=stride, padding=padding, dilation=dilation)
    flat = [p for pair in reversed(padding) for p in pair]
    shapes = dict(x=[batch, inputs, *size], weight=[outputs, inputs] + [kernel] * 3, bias=[outputs])
    return meta, shapes, lambda x, weight, bias: F.conv3d(
        F.pad(x, flat), weight, bias, stride, 0, dilation
    )


def depthwise_conv3d():
    kernel, stride = random.choice([3, 5]), random.choice([1, 2])
    padding = kernel // 2
    batch, channels, size = random.randint(1, 3), random.choice(CHANNELS), sizes(12)
    if random.random() < 0.1:
        (channels, _), size = large()
        batch = 1
    shapes = dict(
        x=[batch, channels, *size],
        weight=[channels, 1] + [kernel] * 3,
        bias=[channels],
    )
    return dict(stride=stride, padding=padding), shapes, lambda x, weight, bias: F.conv3d(
        x, weight, bias, stride, padding, 1, channels
    )


def depthwise_conv_transpose3d():
    channels, size, kernel = random.choice(CHANNELS), sizes(8), random.choice([3, 5])
    shapes = dict(
        x=[random.randint(1, 3), channels, *size],
        weight=[channels, 1] + [kernel] * 3,
        bias=[channels],
    )
    return {}, shapes, lambda x, weight, bias: F.conv_transpose3d(
        x, weight, bias, 2, kernel // 2, 0, channels
    )


def conv_transpose3d():
    kernel = random.choice([1, 2])
    batch = random.randint(1, 3)
    inputs, outputs, size = random.choice(CHANNELS), random.choice(CHANNELS), sizes(8)
    if random.random() < 0.05:
        batch, inputs, outputs, size = 1, 64, 32, [random.randint(12, 16) for _ in range(3)]
    shapes = dict(
        x=[batch, inputs, *size],
        weight=[inputs, outputs] + [kernel] * 3,
        bias=[outputs],
    )
    return {}, shapes, lambda x, weight, bias: F.conv_transpose3d(x, weight, bias, 2)


def instance_norm():
    channels, size = random.choice(CHANNELS), [random.randint(2, 20) for _ in range(3)]
    name = random.choice([None, *ACTIVATIONS])
    shapes = dict(
        x=[random.randint(1, 3), channels, *size], weight=[channels], bias=[channels]
    )
    return dict(activation=name, eps=1e-5), shapes, lambda x, weight, bias: activated(
        name, F.instance_norm(x, None, None, weight, bias, True, 0.1, 1e-5)
    )


def activate():
    name = random.choice(list(ACTIVATIONS))
    shapes = dict(x=[random.randint(1, 3), random.choice(CHANNELS), *sizes(9)])
    return dict(activation=name), shapes, lambda x: activated(name, x)


def max_pool2():
    shapes = dict(x=[random.randint(1, 3), 5] + [random.randint(2, 13) for _ in range(3)])
    # Few distinct values, so that maxima tie.
    return {}, shapes, lambda x: F.max_pool3d(x, 2)


def conv3d_joined():
    """Convolution of two tensors whose channels follow each other."""
    first, second, outputs = (random.choice(CHANNELS) for _ in range(3))
    batch, size = random.randint(1, 2), sizes(11)
    if random.random() < 0.1:
        (first, outputs), size = large((16, 32))
        batch, second = 1, first
    kernel = random.choice([1, 3, 3])
    name = random.choice([None, *ACTIVATIONS])
    shapes = dict(
        x=[batch, first + second, *size],
        weight=[outputs, first + second] + [kernel] * 3,
        bias=[outputs],
    )
    meta = dict(first=first, kernel=kernel, activation=name)
    return meta, shapes, lambda x, weight, bias: activated(
        name, F.conv3d(x, weight, bias, 1, kernel // 2)
    )


def conv3d_normalized():
    """Convolution, instance norm and activation; and half the time another convolution."""
    inputs, outputs = random.choice(CHANNELS), random.choice(CHANNELS)
    batch, size = random.randint(1, 2), [random.randint(3, 12) for _ in range(3)]
    if random.random() < 0.1:
        (inputs, outputs), size = large((16, 32))
        batch = 1
    again = random.random() < 0.5
    if again:
        outputs = inputs
    # Smooth ones: what is read twice cannot be told apart at a kink.
    name = random.choice([None, "elu", "gelu", "silu"])
    shapes = dict(
        x=[batch, inputs, *size], weight=[outputs, inputs, 3, 3, 3], bias=[outputs]
    )
    activation = ACTIVATIONS.get(name, lambda x: x)

    def run(x, weight, bias):
        # The scale is what a parameter is there for.
        y = F.instance_norm(F.conv3d(x, weight, None, 1, 1), None, None, None, bias)
        y = activation(y)
        return F.conv3d(y, weight, None, 1, 1) if again else y

    return dict(again=again, activation=name, eps=1e-5), shapes, run


def resize_trilinear():
    channels, batch = random.choice(CHANNELS), random.randint(1, 2)
    start, size = sizes(12), sizes(14)
    if random.random() < 0.05:
        channels, batch, start, size = 4, 1, sizes(40), sizes(48)
    return dict(size=size), dict(x=[batch, channels, *start]), lambda x: F.interpolate(
        x, size, mode="trilinear", align_corners=False
    )


def conv3d_argmax():
    """Classes; of whole numbers, so that many tie."""
    inputs, classes = random.choice(CHANNELS), random.choice([1, 2, 3, 18, 50, 104])
    shapes = dict(
        x=[random.randint(1, 2), inputs, *sizes(14)],
        weight=[classes, inputs, 1, 1, 1],
        bias=[classes],
    )
    return {}, shapes, lambda x, weight, bias: F.conv3d(x, weight, bias).argmax(1, True)


def write(folder, operation, count):
    tensors, cases = {}, []
    while len(cases) < count:
        case = operation()
        if case is None:
            continue
        meta, shapes, run = case
        inputs = {name: torch.randn(shape) for name, shape in shapes.items()}
        if operation is max_pool2:
            inputs["x"] = torch.round(inputs["x"])
        if operation is conv3d_argmax:
            inputs = {name: torch.round(tensor) for name, tensor in inputs.items()}
        if operation is instance_norm:
            inputs["x"] = inputs["x"] * 3 + 2
        if "bias" in inputs and operation is not instance_norm and random.random() < 0.3:
            del inputs["bias"]
        inputs = {name: tensor.double().requires_grad_() for name, tensor in inputs.items()}
        output = run(**{"bias": None, **inputs} if "weight" in inputs else inputs)
        output, argument = output if isinstance(output, tuple) else (output, None)
        index = len(cases)
        found = {"output": output.detach()}
        if output.is_floating_point():
            found["pull"] = torch.randn_like(output).float().double()
            if argument is not None:
                # At a kink rounding decides.
                found["pull"][argument.abs() < 1e-4] = 0
            output.backward(found["pull"])
        for name, tensor in inputs.items():
            found[name] = tensor.detach()
            if output.is_floating_point():
                found["grad." + name] = tensor.grad
        for name, tensor in found.items():
            tensor = tensor.float() if tensor.is_floating_point() else tensor
            tensors[f"{index:03}.{name}"] = tensor.contiguous()
        cases.append(meta)
    save_file(tensors, folder / f"{operation.__name__}.safetensors")
    (folder / f"{operation.__name__}.json").write_text(json.dumps(cases))
    print(operation.__name__, len(cases), "cases")


def main():
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 200
    torch.manual_seed(20)
    random.seed(20)
    for operation in (
        conv3d,
        depthwise_conv3d,
        depthwise_conv_transpose3d,
        conv_transpose3d,
        instance_norm,
        activate,
        max_pool2,
        conv3d_joined,
        conv3d_normalized,
        conv3d_argmax,
        resize_trilinear,
    ):
        write(folder, operation, count)


if __name__ == "__main__":
    main()
