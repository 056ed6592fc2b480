"""Draws the losses of pretraining and finetuning.

    python curves.py --pretraining FOLDER --finetuning FOLDER [--out curves.png]

Reads the runs' `log.jsonl`. Needs matplotlib.
"""

import argparse
import json
from pathlib import Path

import matplotlib.pyplot as plt

# Steps of a running mean.
WIDTH = 50


def events(folder, kind):
    lines = (json.loads(line) for line in (folder / "log.jsonl").open())
    return [line for line in lines if line["kind"] == kind]


def mean(values):
    return [sum(values[i : i + WIDTH]) / WIDTH for i in range(len(values) - WIDTH + 1)]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pretraining", type=Path, required=True)
    parser.add_argument("--finetuning", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("curves.png"))
    args = parser.parse_args()
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3), layout="constrained")
    for axes, folder, title, name in (
        (left, args.pretraining, "pretraining", "squared error"),
        (right, args.finetuning, "finetuning", "Dice + cross-entropy"),
    ):
        steps = [line["loss"] for line in events(folder, "step")]
        axes.plot(range(WIDTH, len(steps) + 1), mean(steps), lw=1, label=f"mean of {WIDTH} steps")
        tests = events(folder, "validation")
        at, losses = [test["step"] for test in tests], [test["loss"] for test in tests]
        axes.plot(at, losses, "o", ms=4, label="validation")
        axes.set(title=title, xlabel="step", ylabel=name, yscale="log")
        axes.legend(frameon=False)
    figure.savefig(args.out, dpi=100)


main()
