"""Segments a conformed volume with a TensorFlow.js MeshNet in PyTorch and prints the seconds.

    python tests/reference/bench_meshnet.py MODEL_FOLDER IMAGE [THREADS]

The whole volume at once, as the published programs do it. Needs torch, numpy and nibabel.
"""

import json
import pathlib
import resource
import sys
import time

import nibabel
import numpy
import torch
import torch.nn.functional as F


def main():
    folder, image = pathlib.Path(sys.argv[1]), sys.argv[2]
    if len(sys.argv) > 3:
        torch.set_num_threads(int(sys.argv[3]))
    model = json.loads((folder / "model.json").read_text())
    layers = model["modelTopology"]["model_config"]["config"]["layers"]
    manifest = model["weightsManifest"][0]
    values = numpy.concatenate(
        [numpy.fromfile(folder / path, "<f4") for path in manifest["paths"]]
    )
    tensors, at = [], 0
    for weight in manifest["weights"]:
        count = int(numpy.prod(weight["shape"]))
        tensors.append(torch.from_numpy(values[at : at + count].reshape(weight["shape"])))
        at += count
    dilations = [
        layer["config"]["dilation_rate"][0]
        for layer in layers
        if layer["class_name"] == "Conv3D"
    ]
    elu = any(layer["config"].get("activation") == "elu" for layer in layers)
    data = nibabel.load(image).get_fdata(dtype=numpy.float32)
    data = (data - data.min()) / (data.max() - data.min())
    start = time.perf_counter()
    with torch.inference_mode():
        x = torch.from_numpy(data)[None, None]
        for i, dilation in enumerate(dilations):
            weight = tensors[2 * i].permute(4, 3, 0, 1, 2).contiguous()
            padding = dilation * (weight.shape[2] // 2)
            x = F.conv3d(x, weight, tensors[2 * i + 1], padding=padding, dilation=dilation)
            if i + 1 < len(dilations):
                x = F.elu_(x) if elu else F.relu_(x)
        x.argmax(1).to(torch.uint8)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{folder.name}: {seconds:.1f} s, peak {peak:.0f} MiB")


if __name__ == "__main__":
    main()
