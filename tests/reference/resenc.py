"""Residual encoder U-Nets of dynamic-network-architectures (pip), for `tests/tests/resenc.rs`.

Usage: resenc.py FOLDER

FOLDER/resenc.json is written: for each network some values of its output and gradients, the loss
and the gradients' norms, in float64, the numbers of parameters of the published sizes, and some
values that the saved network gives an image of 64^3 voxels. Weights and images are those of
`decoders.py`. FOLDER/weights gets a small network of drawn weights as each publisher saves it: nnssl
(`network_weights`), nnssl without skips, and asparagus (a Lightning checkpoint of gardening-tools'
network, pip), whose names have changed between versions.
"""

import json
import re
import sys
from pathlib import Path

import torch
from dynamic_network_architectures.architectures.unet import ResidualEncoderUNet
from gardening_tools.modules.networks.resunet import ResidualEncoderUNet as Asparagus
from torch import nn

from decoders import image, recorded, sample, values

PUBLISHED = [32, 64, 128, 256, 320, 320]
DEPTHS = [1, 3, 4, 6, 6, 6]


def residual_unet(features, blocks, inputs, classes, convolutions=1):
    return ResidualEncoderUNet(
        input_channels=inputs,
        n_stages=len(features),
        features_per_stage=features,
        conv_op=nn.Conv3d,
        kernel_sizes=3,
        strides=[1] + [2] * (len(features) - 1),
        n_blocks_per_stage=blocks,
        num_classes=classes,
        n_conv_per_stage_decoder=[convolutions] * (len(features) - 1),
        conv_bias=True,
        norm_op=nn.InstanceNorm3d,
        norm_op_kwargs={"eps": 1e-5, "affine": True},
        nonlin=nn.LeakyReLU,
        nonlin_kwargs={"inplace": True},
    )


class Light(nn.Module):
    """The package's encoder and layers, without skips."""

    def __init__(self, features, blocks, inputs, outputs):
        super().__init__()
        half = residual_unet(features, blocks, inputs, outputs)
        self.encoder = half.encoder
        self.decoder = nn.Module()
        up = half.decoder.transpconvs
        stages = nn.ModuleList(half.decoder.stages)
        for stage, channels in zip(stages, reversed(features[:-1])):
            unit = stage.convs[0]
            unit.conv = nn.Conv3d(channels, channels, 3, padding=1)
            unit.all_modules = nn.Sequential(unit.conv, unit.norm, unit.nonlin)
        self.decoder.stages = stages
        self.decoder.transpconvs = up
        self.decoder.seg_layers = half.decoder.seg_layers

    def forward(self, x):
        x = self.encoder(x)[-1]
        for up, stage in zip(self.decoder.transpconvs, self.decoder.stages):
            x = stage(up(x))
        return self.decoder.seg_layers[-1](x)


def networks():
    six, depths = [4, 6, 6, 8, 10, 10], [1, 2, 1, 1, 2, 1]
    yield "cube", residual_unet(six, depths, 1, 1), (64, 64, 64)
    yield "slab", residual_unet(six, depths, 1, 1), (64, 96, 32)
    yield "double", residual_unet([3, 5, 5], [2, 1, 2], 1, 1, 2), (24, 16, 20)
    # With fewer stages: through a bottleneck of few voxels alone, PyTorch's own gradients in single
    # precision are off by a hundredth.
    yield "light", Light(six[:4], depths[:4], 1, 1), (64, 64, 64)


def run(net, size):
    net.double()
    named = dict(net.named_parameters())
    for name, parameter in named.items():
        parameter.data.copy_(values(sum(name.encode()), name, tuple(parameter.shape)))
    return recorded(net, named, size, 4)


def sizes():
    """Parameters of the published network, one channel in and out, and of its encoder."""
    with torch.device("meta"):
        net = residual_unet(PUBLISHED, DEPTHS, 1, 1)
    count = lambda module: sum(p.numel() for p in module.parameters())
    return {"all": count(net), "encoder": count(net.encoder)}


def fill(net, names):
    """Draws weights; `names` gives the package's name of a parameter for the net's own."""
    for name, parameter in net.named_parameters():
        name = names(name)
        parameter.data.copy_(values(sum(name.encode()), name, tuple(parameter.shape)))
    return net


def asparagus_name(name):
    name = name.replace(".norm_op.", ".norm.").replace("stem.conv1.", "stem.convs.0.")
    name = name.replace("upsample_layers.", "transpconvs.").replace("out_conv.", "seg_layers.4.")
    return re.sub(
        r"decoder_convs\.(\d)\.conv(\d)",
        lambda m: f"stages.{m[1]}.convs.{int(m[2]) - 1}",
        name,
    )


def older_name(name):
    name = re.sub(r"upsample_layers\.(\d)", lambda m: f"upsample{int(m[1]) + 1}", name)
    return re.sub(r"decoder_convs\.(\d)", lambda m: f"decoder_conv{int(m[1]) + 1}", name)


def checkpoints(folder):
    features, blocks = [2, 3, 3, 4, 4, 4], [1, 2, 1, 1, 1, 1]
    same = lambda name: name
    net = fill(residual_unet(features, blocks, 1, 2), same)
    beside = {"trainer_name": "MAE", "nnssl_adaptation_plan": {"key_to_stem": "encoder.stem"}}
    nnssl = {"network_weights": net.state_dict(), **beside}
    torch.save(nnssl, folder / "resenc_nnssl.pth")
    with torch.inference_mode():
        output = sample(net.double()(image(1, (64, 64, 64))), 64)
    light = fill(Light(features, blocks, 1, 1), same).state_dict()
    light = {
        re.sub(r"seg_layers\.4", "seg_layer", name): tensor
        for name, tensor in light.items()
        if not re.search(r"seg_layers\.[0-3]", name)
    }
    torch.save({"network_weights": light, **beside}, folder / "resenc_noskip.pth")
    net = fill(Asparagus(1, 2, "3D", 3, 2, features, blocks, [1] * 5), asparagus_name)
    state = {f"model.{name}": tensor for name, tensor in net.state_dict().items()}
    torch.save({"epoch": 1, "state_dict": state}, folder / "resenc_asparagus.ckpt")
    state = {older_name(name): tensor for name, tensor in state.items()}
    torch.save({"epoch": 1, "state_dict": state}, folder / "resenc_asparagus_older.ckpt")
    return output


def main():
    torch.manual_seed(0)
    folder = Path(sys.argv[1])
    output = checkpoints(folder / "weights")
    result = {name: run(net, size) for name, net, size in networks()}
    result["checkpoint"] = {"output": output}
    result["published"] = sizes()
    with open(folder / "resenc.json", "w") as file:
        json.dump(result, file, separators=(",", ":"))
        file.write("\n")


if __name__ == "__main__":
    main()
