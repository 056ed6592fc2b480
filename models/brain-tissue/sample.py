"""Makes the image that the page and the demo segment: a T1w image of a head kept out of training.

    python sample.py [--heads target/brain-tissue/heads] [--out models/brain-tissue]

Writes `sample.nii.gz` and its true labels, `sample_labels.nii.gz`. The map is deformed and imaged by
`amaes synth`; 64 greys keep the file small. Needs numpy and nibabel.
"""

import argparse
import json
import subprocess
import tempfile
import tomllib
from pathlib import Path

import nibabel as nib
import numpy as np

HEAD = "head_20.nii.gz"
GREYS = 63


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--heads", type=Path, default=Path("target/brain-tissue/heads"))
    parser.add_argument("--amaes", type=Path, default=Path("target/release/amaes"))
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    args = parser.parse_args()
    matrix = tomllib.loads(Path(__file__).parent.with_suffix(".toml").read_text())
    head = args.heads / "test" / HEAD
    fields = {
        "count": 1,
        "seed": 5,
        "sites": ["sample"],
        "images.contrasts": ["T1w"],
        "labels.path": str(head),
        "site.sample.base": "a",
        "site.sample.noise": 0.01,
    }
    for label, tissue in matrix["synth"]["labelled"]["labels"]["tissues"].items():
        fields[f"labels.tissues.{label}"] = tissue
    # JSON's texts, numbers and lists are TOML's.
    config = "".join(f"{name} = {json.dumps(value)}\n" for name, value in fields.items())
    with tempfile.TemporaryDirectory() as folder:
        tree, path = Path(folder) / "tree", Path(folder) / "sample.toml"
        path.write_text(config)
        command = [args.amaes, "synth", "--config", path, "--out", tree, "--quiet"]
        subprocess.run([str(part) for part in command], check=True)
        image = nib.load(tree / "sub-0001/anat/sub-0001_T1w.nii.gz")
        voxels = np.asarray(image.dataobj, np.float32)
        (labels,) = (tree / "derivatives/labels/sub-0001/anat").glob("*_desc-tissue_dseg.nii.gz")
        labels = np.asarray(nib.load(labels).dataobj)
    voxels = np.rint(np.clip(voxels / np.percentile(voxels, 99.8), 0, 1) * GREYS)
    classes = np.zeros(labels.shape, np.uint8)
    for label, value in matrix["finetune"]["data"]["map"].items():
        classes[labels == int(label)] = value
    nib.openers.Opener.default_compresslevel = 9
    for name, data in (("sample", voxels.astype(np.uint8)), ("sample_labels", classes)):
        made = nib.Nifti1Image(data, image.affine)
        made.header.set_xyzt_units("mm")
        made.header["descrip"] = b"made by amaes of a label map"
        made.to_filename(args.out / f"{name}.nii.gz")


main()
