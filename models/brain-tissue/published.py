"""The published networks that brain-tissue is compared with and that label its real images.

Needs numpy and nibabel; the weights are those of `../shared/weights`.
"""

import subprocess

import nibabel as nib
import numpy as np

MASK = "niivue-tinygrad/net_mindgrab.safetensors"
STRUCTURES = "brainchop/model18cls"
LARGEST = ("--keep", "largest")
# Values of grey and of white matter.
TISSUE = {
    "robust_tissue": ("niivue-tinygrad/net_robust_tissue.safetensors", [1], [2]),
    "tissue_fast": ("niivue-tinygrad/net_tissue_fast.safetensors", [2], [1]),
    "model18cls": (STRUCTURES, [2, 7, 8, 9, 10, 14, 15, 16], [1]),
}
# In model18cls: cerebellum, brainstem, ventral diencephalon. The tissue networks call their parts
# grey or white, this one calls them by name: grey and white are those of the cerebrum.
HIND = [5, 6, 13, 17]
MAJORITY = "majority"


def segment(amaes, model, image, out, *options):
    """The labels of an image, which are kept in `out` for the next time."""
    if not out.is_file():
        out.parent.mkdir(parents=True, exist_ok=True)
        command = [amaes, "segment", "--model", model, "--input", image, "--output", out, "--quiet"]
        command += options
        subprocess.run([str(part) for part in command], check=True)
    return np.asarray(nib.load(out).dataobj)


def tissue(labels_of):
    """Masks of grey and of white matter of the cerebrum, as each network has them and, under
    `MAJORITY`, as two of the three do: where they err, they seldom err alike. `labels_of` gives
    the labels of a network by its name and weights. Also the mask of the cerebrum."""
    cerebrum = ~np.isin(labels_of("model18cls", STRUCTURES), HIND)
    found = {}
    for name, (file, *values) in TISSUE.items():
        labels = labels_of(name, file)
        found[name] = tuple(np.isin(labels, of) & cerebrum for of in values)
    found[MAJORITY] = tuple(np.sum([found[name][i] for name in TISSUE], 0) >= 2 for i in (0, 1))
    return found, cerebrum
