"""Shifts one class of a network so that its volume is right on labelled images.

    python calibrate.py --weights RUN/model.safetensors --table REAL/T1w.csv --output calibrated.safetensors

Where a network is unsure, a loss of overlap lets it prefer the larger of two classes: here grey to
white matter. A number added to the bias of the last layer corrects that. It is found on images of
training, those of TABLE that `real.py` writes, so that the class (`--label`) has as many voxels as in
their labels. `amaes import` makes the result a model. Needs numpy, nibabel and safetensors.
"""

import argparse
import csv
import subprocess
import tempfile
from pathlib import Path

import nibabel as nib
import numpy as np
from safetensors.numpy import load_file, save_file

BIAS = "model.pred_head.out_conv.bias"
PLAN = Path(__file__).with_name("plan_fine.json")
# The second shift that is tried; volumes are nearly exponential in it.
STEP = 0.4


def pairs(table):
    """Images and their labels; paths are relative to the table's folder."""
    with table.open(newline="") as file:
        return [(table.parent / row["image"], table.parent / row["label"]) for row in csv.DictReader(file)]


def found(args, weights, images, folder):
    """Voxels of the class in what the network with these weights says of the images."""
    shifted, model, labels = (folder / n for n in ("w.safetensors", "m.amaes", "l.nii"))
    save_file(weights, shifted, {"format": "pt"})
    windows = ["--patch", "112", "112", "112", "--overlap", "0.25"]
    command = [args.amaes, "import", shifted, "--plan", PLAN, *windows, "--output", model]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    voxels = 0
    for image in images:
        command = [args.amaes, "segment", "--quiet", "--keep", "largest", "--model", model]
        subprocess.run([*command, "--input", image, "--output", labels], check=True)
        voxels += np.count_nonzero(np.asarray(nib.load(labels).dataobj) == args.label)
    return voxels


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--table", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--label", type=int, default=2)
    parser.add_argument("--amaes", type=Path, default=Path("target/release/amaes"))
    args = parser.parse_args()
    weights = load_file(args.weights)
    images, labels = zip(*pairs(args.table))
    true = sum(np.count_nonzero(np.asarray(nib.load(file).dataobj) == args.label) for file in labels)

    def shifted(by):
        bias = weights[BIAS].copy()
        bias[args.label] += by
        return {**weights, BIAS: bias}

    factors = []
    with tempfile.TemporaryDirectory() as folder:
        for shift in (0.0, STEP):
            factors.append(found(args, shifted(shift), images, Path(folder)) / true)
            print(f"shift {shift:.2f}: {factors[-1]:.3f} of the true volume", flush=True)
    start, end = np.log(factors)
    shift = round(float(STEP * start / (start - end)), 2)
    print(f"shift {shift:.2f} is written")
    save_file(shifted(shift), args.output, {"format": "pt"})


main()
