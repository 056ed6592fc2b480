"""Writes the checkpoints in tests/data/weights that tests/tests/weights.rs reads.

Run from the project's root with PyTorch 2 and NumPy:  python tests/reference/weights.py
"""

import argparse
import collections
import pathlib
import pickle
import sys
import types
import zipfile

import numpy
import torch

HERE = pathlib.Path(__file__).parent.parent / "data" / "weights"


def tensors():
    """Values that the test computes itself: arange(n), seen through views and types."""
    base = torch.arange(60, dtype=torch.float32)
    return collections.OrderedDict(
        plain=base.reshape(3, 4, 5).clone(),
        transposed=base.reshape(3, 4, 5).permute(2, 0, 1),
        tail=base[40:],
        every_third=base[1::3],
        half=torch.arange(6, dtype=torch.float16),
        brain=torch.arange(6, dtype=torch.bfloat16),
        double=torch.arange(6, dtype=torch.float64),
        count=torch.tensor(7),
        scalar=torch.tensor(2.5),
        empty=torch.empty(0, 3),
    )


class Net(torch.nn.Module):
    """A MeshNet of two dilated layers."""

    def __init__(self):
        super().__init__()
        self.model = torch.nn.Sequential(
            torch.nn.Conv3d(1, 2, 3), torch.nn.ReLU(), torch.nn.Conv3d(2, 2, 3), torch.nn.ReLU(),
            torch.nn.Conv3d(2, 3, 1),
        )
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(torch.arange(parameter.numel()).reshape(parameter.shape))


class Call:
    """Pickles as a call of `function`."""

    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


def main():
    HERE.mkdir(parents=True, exist_ok=True)
    torch.save(tensors(), HERE / "views.pth")
    torch.save(tensors(), HERE / "views_protocol5.pth", pickle_protocol=5)
    torch.save(tensors(), HERE / "legacy.pth", _use_new_zipfile_serialization=False)

    net = Net()
    # A state dict proper has an attribute beside its items.
    torch.save(net.state_dict(), HERE / "state_dict.pth")
    # The first header in this archive's directory is as long as the zip64 record behind it.
    torch.save(net.state_dict(), HERE / "name_of_21_characters.pth")
    torch.serialization.set_crc32_options(False)
    torch.save(net.state_dict(), HERE / "no_checksums.pth")
    torch.serialization.set_crc32_options(True)
    with zipfile.ZipFile(HERE / "state_dict.pth") as stored, \
            zipfile.ZipFile(HERE / "deflated.pth", "w", zipfile.ZIP_DEFLATED) as deflated:
        for entry in stored.infolist():
            name = zipfile.ZipInfo(entry.filename)
            deflated.writestr(name, stored.read(entry), zipfile.ZIP_DEFLATED)
    torch.save({"network_weights": net.state_dict(), "epoch": 3}, HERE / "network_weights.pth")
    torch.save({n: torch.nn.Parameter(p) for n, p in net.state_dict().items()},
               HERE / "parameters.pth")

    optimizer = torch.optim.AdamW(net.parameters())
    sum(p.sum() for p in net.parameters()).backward()
    optimizer.step()
    for parameter in net.parameters():
        parameter.requires_grad_(False)
        parameter.copy_(torch.arange(parameter.numel()).reshape(parameter.shape))
    lightning = {
        "epoch": 99,
        "global_step": 277000,
        "pytorch-lightning_version": "2.4.0",
        "state_dict": {f"model._orig_mod.{n.removeprefix('model.')}": p.data
                       for n, p in net.named_parameters()},
        "loops": {"fit_loop": {"state_dict": {}, "total": collections.Counter(batch=2)}},
        "callbacks": {"ModelCheckpoint{'monitor': None}": {"best_model_score": torch.tensor(0.5),
                                                           "dirpath": pathlib.PurePosixPath("/a")}},
        "optimizer_states": [optimizer.state_dict()],
        "lr_schedulers": [],
        "hyper_parameters": {
            "args": argparse.Namespace(lr=1e-4, devices=2),
            "seed": numpy.int64(42),
            "mean": numpy.float64(0.25),
            "shape": torch.Size([128, 128, 128]),
            "device": torch.device("cpu"),
            "dtype": torch.float32,
            "names": {"a"},
            "big": 2**80,
            "raw": b"bytes",
        },
    }
    torch.save(lightning, HERE / "lightning.ckpt")

    # A class of the project that trained the network, as hyper-parameters may hold.
    module = types.ModuleType("trainer_settings")
    module.Settings = type("Settings", (), {"__module__": "trainer_settings"})
    sys.modules["trainer_settings"] = module
    torch.save({"state_dict": net.state_dict(), "settings": module.Settings()},
               HERE / "foreign_class.ckpt")

    # Files that run a command when Python loads them. They are never loaded here.
    import os
    attack = {"weight": Call(os.system, "echo attacked")}
    torch.save(attack, HERE / "attack.pth")
    torch.save(attack, HERE / "attack_legacy.pth", _use_new_zipfile_serialization=False)
    torch.save({"state_dict": tensors(), "x": Call(eval, "print('attacked')")},
               HERE / "attack_beside.ckpt")
    (HERE / "attack.pkl").write_bytes(pickle.dumps(attack, protocol=4))

    # What is a tensor but none that can be read.
    torch.save({"expanded": torch.zeros(1).expand(1 << 40)}, HERE / "expanded.pth")
    torch.save({"complex": torch.zeros(2, dtype=torch.complex64)}, HERE / "complex.pth")
    torch.save({"sparse": torch.eye(3).to_sparse()}, HERE / "sparse.pth")
    for path in sorted(HERE.iterdir()):
        print(path.name, path.stat().st_size)


if __name__ == "__main__":
    main()
