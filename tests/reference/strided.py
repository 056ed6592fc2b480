"""The published strided encoder-decoder in PyTorch, for `tests/tests/strided.rs`.

Usage: strided.py OUT [SHARED]

OUT is the JSON to write: some values of output, loss and gradients of the network with drawn weights
(those of `decoders.py`) in float64; the weights are saved as `weights/strided.pth` beside it, under
the published names. With SHARED, the folder of shared files, also the classes that
the published weights give `mri/t1_crop.nii.gz`: their counts, and every eighth voxel along each axis.
Without, what OUT has of it stays.
"""

import json
import struct
import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn

from decoders import recorded, values

SIZE = (36, 30, 32)
# Without norms, SiLU makes values smaller from layer to layer; larger weights make up for it.
GAIN = 4
# Full resolution, half, full again.
DILATIONS = ((1, 2, 4, 6, 8), (10, 12, 16, 12, 10), (8, 6, 4, 2, 1))


class Strided(nn.Module):
    def __init__(self, filters, classes):
        super().__init__()
        wide = 2 * filters
        conv = lambda a, b, d: nn.Conv3d(a, b, 3, padding=d, dilation=d)
        layers = [conv(filters if i else 1, filters, d) for i, d in enumerate(DILATIONS[0])]
        layers.append(nn.Conv3d(filters, wide, 3, stride=2, padding=1))
        layers += [conv(wide, wide, d) for d in DILATIONS[1]]
        layers.append(nn.ConvTranspose3d(wide, filters, 2, stride=2))
        layers += [conv(filters, filters, d) for d in DILATIONS[2]]
        layers.append(nn.Conv3d(filters, classes, 1))
        self.layers = nn.ModuleList(layers)

    def forward(self, x):
        for layer in self.layers[:-1]:
            x = layer(x)
            if isinstance(layer, nn.Conv3d):
                x = nn.functional.silu(x)
        return self.layers[-1](x)


def drawn(file):
    net = Strided(3, 1).double()
    named = dict(net.named_parameters())
    for name, parameter in named.items():
        drawn = values(sum(name.encode()), name, tuple(parameter.shape), GAIN)
        parameter.data.copy_(drawn)
    state = {
        f"layers.{i}.{key}": parameter.detach().float()
        for i, layer in enumerate(net.layers)
        for key, parameter in (("2", layer.weight), ("3", layer.bias))
    }
    torch.save(state, file)
    return recorded(net, named, SIZE, 4)


def published(shared):
    import nibabel

    data = (shared / "weights/niivue-tinygrad/net_robust_tissue.safetensors").read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    net = Strided(16, 3)
    with torch.inference_mode():
        for i, layer in enumerate(net.layers):
            for key, parameter in (("2", layer.weight), ("3", layer.bias)):
                entry = header[f"layers.{i}.{key}"]
                start, end = (8 + length + at for at in entry["data_offsets"])
                array = np.frombuffer(data[start:end], "<f4").reshape(entry["shape"])
                parameter.copy_(torch.from_numpy(array.copy()))
        voxels = nibabel.load(shared / "mri/t1_crop.nii.gz").get_fdata()
        low, high = np.quantile(voxels, [0.02, 0.98])
        x = ((voxels - low) / (high - low + 1e-3)).clip(0, 1)
        x = torch.from_numpy(x.astype(np.float32))[None, None]
        classes = net(x).argmax(1)[0]
    part = classes[::8, ::8, ::8].flatten().tolist()
    return {
        "counts": torch.bincount(classes.flatten(), minlength=3).tolist(),
        "every_eighth": "".join(map(str, part)),
    }


def main():
    out = Path(sys.argv[1])
    result = json.loads(out.read_text()) if out.exists() else {}
    result["drawn"] = drawn(out.parent / "weights/strided.pth")
    if len(sys.argv) > 2:
        result["published"] = published(Path(sys.argv[2]))
    out.write_text(json.dumps(result, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
