"""Draws the losses of runs, beside one another.

    python curves.py FOLDER... [--out curves.png]

FOLDER is that of a pretraining or finetuning of an experiment; its `log.jsonl` is read. Needs
matplotlib.
"""

import argparse
import json
from pathlib import Path

import matplotlib.pyplot as plt

# Steps of a running mean.
WIDTH = 50
LOSSES = {"pretraining": "squared error", "finetuning": "Dice + cross-entropy"}


def events(folder, kind):
    lines = (json.loads(line) for line in (folder / "log.jsonl").open())
    return [line for line in lines if line["kind"] == kind]


def mean(values):
    return [sum(values[i : i + WIDTH]) / WIDTH for i in range(len(values) - WIDTH + 1)]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", type=Path, nargs="+", metavar="FOLDER")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("curves.png"))
    args = parser.parse_args()
    size = (4.5 * len(args.folders), 3)
    figure, panels = plt.subplots(1, len(args.folders), figsize=size, layout="constrained", squeeze=False)
    for axes, folder in zip(panels[0], args.folders):
        steps = [line["loss"] for line in events(folder, "step")]
        axes.plot(range(WIDTH, len(steps) + 1), mean(steps), lw=1, label=f"mean of {WIDTH} steps")
        tests = events(folder, "validation")
        at, losses = [test["step"] for test in tests], [test["loss"] for test in tests]
        axes.plot(at, losses, "o", ms=4, label="validation")
        kind = folder.parent.name
        # Folders end with what determines the run.
        title = f"{kind}: {folder.name.rsplit('-', 1)[0]}"
        axes.set(title=title, xlabel="step", ylabel=LOSSES.get(kind, "loss"), yscale="log")
        axes.legend(frameon=False)
    figure.savefig(args.out, dpi=100)


main()
