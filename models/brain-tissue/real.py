"""The real heads that brain-tissue's last stage is trained on, and labels of their images.

    python real.py CLONES OUT --model FIFTH.amaes [--shared ../shared] [--amaes target/release/amaes]

CLONES holds clones of the repositories of `SOURCES`, each at its commit; checksums are verified. OUT
gets the images' labels, `T1w.csv` and `others.csv`, which `brain-tissue.toml` names. Labels are made
of the T1w image of a head. Grey and white matter of the cerebrum are what two of three published
networks of SHARED/weights say; deep grey matter and brainstem what one of these says; the rest what
the network of the fifth stage says, as far as a fourth published one finds brain. Needs numpy, scipy,
nibabel and, for the slices of one head, dcm2niix.
"""

import argparse
import csv
import hashlib
import subprocess
from pathlib import Path

import nibabel as nib
import numpy as np
from scipy import ndimage

from published import LARGEST, MAJORITY, MASK, STRUCTURES, segment, tissue

# Folder of the clone: repository, commit.
SOURCES = {
    "structural": ("datalad/example-dicom-structural", "f077bcc8d502ce8155507bd758cb3b7ccc887f40"),
    "mricron": ("neurolabusc/MRIcron", "ac40c6acb2ea15d57ac13311954a2d7a579b8d25"),
    "allineate": ("neurolabusc/allineate", "f93e4d61b1b208faff4a180e45be24c3e47b1894"),
    "bitmap": ("rordenlab/niimath-bitmap", "9b22e85fbd6ba112f2d44c02c932d6aa26a7fe81"),
    "open_ms": ("muschellij2/open_ms_data", "65704901f60650824565aa5a4818611aa89716f4"),
}
SLICES = "structural/dicoms"
MNI = "open_ms/cross_sectional/MNI/{head}/{image}_N4_noneck_reduced_winsor_regtoFLAIR_brain_N4_regtoMNI.nii.gz"
# The third whose images are at hand, patient19, moved: the networks disagree about it.
PATIENTS = ["patient07", "patient26"]
OTHERS = ["T1POST", "T2", "FLAIR"]
# T1w image of each head, whole or without skull.
HEADS = {
    "structural": SLICES,
    "colin27": "mricron/Resources/templates/ch2.nii.gz",
    "arc": "allineate/benchmark/inputs/T1w_ARC2017.nii.gz",
    "bitmap": "bitmap/T1.nii.gz",
    **{head: MNI.format(head=head, image="T1") for head in PATIENTS},
}
# What is cut away in these is 0.
CUT = ["arc", "bitmap", *PATIENTS]
# Nothing is labelled so far from the brain mask, mm.
MARGIN = 3
# SHA-256 of all images, one after the other in the order that they are read in.
SUM = "daf93018c9bdef642b0de19e865bf2dc10b6aa5e08f57393e02acfefaeda1070"

OUTSIDE, CORTEX, WHITE, FLUID, DEEP_GREY, CEREBELLUM, BRAINSTEM = range(7)
# The classes of model18cls's.
CLASSES = np.zeros(18, np.uint8)
CLASSES[1], CLASSES[[2, 14, 15]], CLASSES[[3, 4, 11, 12]] = WHITE, CORTEX, FLUID
CLASSES[[7, 8, 9, 10, 16]], CLASSES[[5, 6]], CLASSES[[13, 17]] = DEEP_GREY, CEREBELLUM, BRAINSTEM


def labels(args, head, image):
    """Classes of `labels.json`, on the grid of the image."""
    volume = nib.load(image)
    parts = args.out / "parts"

    def published(name, file):
        weights = args.shared / "weights" / file
        return segment(args.amaes, weights, image, parts / f"{head}.{name}.nii.gz")

    ours = segment(args.amaes, args.model, image, parts / f"{head}.fifth.nii.gz", *LARGEST)
    ours = ours.astype(np.uint8)
    brain = published("mindgrab", MASK) > 0
    found, cerebrum = tissue(published)
    grey, white = (of & ((ours > 0) | brain) for of in found[MAJORITY])
    # Where one ends and the other begins, our windows decide.
    classes = CLASSES[published("model18cls", STRUCTURES)]
    central = np.isin(ours, [DEEP_GREY, BRAINSTEM]) & (classes > 0)
    central |= np.isin(classes, [DEEP_GREY, BRAINSTEM]) & (ours > 0)
    ours[central] = classes[central]
    deep = ours == DEEP_GREY
    made = ours.copy()
    made[np.isin(ours, [CORTEX, WHITE]) & cerebrum & ~grey & ~white] = FLUID
    made[grey & ~deep] = CORTEX
    # The tissue networks call bright parts of the thalamus and pallidum white.
    made[white & ~deep] = WHITE
    zooms = nib.affines.voxel_sizes(volume.affine)
    away = ndimage.distance_transform_edt(~brain, sampling=zooms)
    made[away > MARGIN] = OUTSIDE
    if head in CUT:
        made[np.asarray(volume.dataobj) == 0] = OUTSIDE
    return made


def read(args):
    """The T1w image of every head and the patients' other images, checked."""
    digest = hashlib.sha256()
    others = {(h, i): args.clones / MNI.format(head=h, image=i) for h in PATIENTS for i in OTHERS}
    images = {head: args.clones / path for head, path in HEADS.items()}
    for path in (*images.values(), *others.values()):
        for file in sorted(path.iterdir()) if path.is_dir() else [path]:
            digest.update(file.read_bytes())
    if digest.hexdigest() != SUM:
        commits = ", ".join(f"{name} {commit}" for name, commit in SOURCES.values())
        raise SystemExit(f"{args.clones}: not the images of {commits}: SHA-256 {digest.hexdigest()}")
    volume = args.out / "structural.nii.gz"
    if not volume.is_file():
        command = ["dcm2niix", "-z", "y", "-b", "n", "-f", "structural", "-o", args.out, images["structural"]]
        subprocess.run([str(part) for part in command], check=True)
    images["structural"] = volume
    return images, others


def table(path, rows):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("id", "subject", "image", "label"), *rows])


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("clones", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--amaes", type=Path, default=Path("target/release/amaes"))
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    images, others = read(args)
    for head, image in images.items():
        made = nib.Nifti1Image(labels(args, head, image), nib.load(image).affine)
        made.to_filename(args.out / f"{head}_labels.nii.gz")
        print(head, np.bincount(np.asarray(made.dataobj).ravel(), minlength=7), flush=True)
    label = "{}_labels.nii.gz".format
    table(args.out / "T1w.csv", [(h, h, i.resolve(), label(h)) for h, i in images.items()])
    table(
        args.out / "others.csv",
        [(f"{h}-{i}", h, path.resolve(), label(h)) for (h, i), path in others.items()],
    )


main()
