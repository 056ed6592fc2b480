"""Times kernels and networks in PyTorch for `tests/benches/kernels.rs`, which talks to it by lines.

    python tests/reference/bench_torch.py THREADS

reads one JSON case a line and answers each with the milliseconds of one run, of a kernel after
20 ms of others. A case that repeats the previous one reuses its tensors. A case with `"peak": true`
is run once, and answered with the most MiB that the process has held so far. Needs torch.
"""

import json
import sys
import time

import torch
import torch.nn.functional as F

import networks


def prepare(case):
    """A function that runs the case once."""
    if "network" in case:
        return networks.prepare(case)
    inputs, outputs, size = case["inputs"], case["outputs"], case["size"]
    kernel, stride, dilation = case["kernel"], case["stride"], case["dilation"]
    step = case["pass"]
    x = torch.rand(1, inputs, size, size, size, requires_grad=step in ("data", "backward"))
    operation = case["operation"]
    if operation in ("conv3d", "depthwise_conv3d"):
        groups = inputs if operation == "depthwise_conv3d" else 1
        padding = kernel // 2 * dilation
        weight = torch.rand(outputs, inputs // groups, kernel, kernel, kernel)
        weight.requires_grad_(step == "weight")

        def run():
            return F.conv3d(x, weight, None, stride, padding, dilation, groups)

        wanted = [x if step == "data" else weight]
    elif operation == "conv_transpose3d":
        weight = torch.rand(inputs, outputs, kernel, kernel, kernel)
        weight.requires_grad_(step == "weight")

        def run():
            return F.conv_transpose3d(x, weight, None, stride)

        wanted = [x if step == "data" else weight]
    elif operation == "max_pool2":

        def run():
            return F.max_pool3d(x, 2)

        wanted = [x]
    else:
        activations = {
            "leaky_relu": lambda y: F.leaky_relu(y, 0.01),
            "elu": F.elu,
            "gelu": F.gelu,
        }
        activation = activations[operation.removeprefix("norm_")]
        scale = torch.rand(inputs, requires_grad=step == "backward")
        shift = torch.rand(inputs, requires_grad=step == "backward")

        def run():
            return activation(F.instance_norm(x, None, None, scale, shift, True, 0.1, 1e-5))

        wanted = [x, scale, shift]

    if step == "forward":

        def forward():
            with torch.no_grad():
                run()

        return forward
    loss = run().sum()
    return lambda: torch.autograd.grad(loss, wanted, retain_graph=True)


def peak():
    """Most MiB of memory that this process has held."""
    with open("/proc/self/status") as status:
        line = next(line for line in status if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def main():
    torch.set_num_threads(int(sys.argv[1]))
    previous, run = None, None
    for line in sys.stdin:
        case = json.loads(line)
        if case.get("peak"):
            prepare(case)()
            print(peak(), flush=True)
            continue
        if line != previous:
            # Two networks at once would not fit.
            run = None
            previous, run = line, prepare(case)
            run()
        start = time.perf_counter()
        while "network" not in case and time.perf_counter() - start < 0.02:
            run()
        start = time.perf_counter()
        run()
        print((time.perf_counter() - start) * 1e3, flush=True)


if __name__ == "__main__":
    main()
