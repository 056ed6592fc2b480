"""The label maps that brain-tissue is trained on: heads of twenty people.

    python heads.py MAPS OUT

MAPS is `data/training_label_maps` of github.com/BBillot/SynthSeg (Apache-2.0) at commit
66342c1f05e520f3729a6d7ca1042eb7f01b6266; checksums are verified. OUT gets `train/`, eighteen maps,
and `test/`, two that no network is trained on: RAS, cut to the head, in FreeSurfer's numbers where
it has them (`brain-tissue.toml` says what the others are). Needs numpy, scipy and nibabel.
"""

import hashlib
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
from scipy import ndimage

# SHA-256 of training_seg_01.nii.gz to training_seg_20.nii.gz.
SUMS = [
    "edbf1229a0552f8ce37438d02f59e810583b71b0a1b4d31dc38e5e2b2517acb1",
    "65e64c6b9415f389dfda5182ec3a269836925b04166ea82f47b230e54980d0a4",
    "f746e2f90e4dccd7bbbdc18bdd6374e455ddb7fc044504a0a42edc8507cf1aa0",
    "fbcf9d5d3b946dc53cff2e9954abb8c8172960ac35b1bf80c3ca240b4feda140",
    "a53baa7b0faea832d45f8a5b9a234b2b6d4ca92bf5c98baeada4a935cc2f1183",
    "57d8c612469359da78b7c16647cc6979be461eb03b59805e7ebded51554f9ead",
    "feaa1e8f320e037709a51e30881fe8076a45fc06611a09bbd87e76f8f3f89826",
    "f4a9d39c5c64bc5457de84b10a4c4b47f3bb6257e9f396ffa61d290015f178d2",
    "6f41f2b755c97185167d887d95180ca4c754578f81cd30fe8119df1e20bb27d5",
    "4a0147bf1d52c6853176777554165d79a01656ddb8f8474da48b65d6218b664e",
    "02e468bbb652ff0da18eeb73932f09813150ef95155ba7669831849da8517196",
    "5d0a47dd3ff4d821cc758e388a49da5744bf86dee423ed93bf727472a8454d8d",
    "d11cf676fbd5b9316fe30acbca98c854cf88dbcee74a5fe22092ac91ccd8d3a1",
    "7b8d1783c1b5b71b454644169d848b28fa57a33ca4a9b49ff88ad897b8aea570",
    "a896e39351622c2e138195780ba267811d7d162df0da0091126550f5de3b74ff",
    "f48c442569883055440a930ad098b4e747d72deb6369f529e4486c36b0cbfe81",
    "b3497de68fe813494b619d71513bafc872b7e367ee442decd8fabc094f4402fc",
    "dbf3b2297907c88481594a2441a47aa13c75452cd7323fec0313b785b04c9671",
    "719d714096fdd3c0964ad9dae6115cef9de8d93a25105504879b0dfa844da0f8",
    "4c2ab7e6a7711a6e00b7e6c6b40d5fd8c318d0aea3c472248b97d9d4c8cea555",
]
# An old head with wide ventricles and a young one.
TEST = {10, 20}

# Choroid plexus of both halves, and white-matter lesions.
SAME = {136: 31, 137: 31, 163: 63, 164: 63, 25: 77, 57: 77}
# Vessels between putamen and white matter, too small to be seen at these resolutions.
WHITE = {30: 2, 62: 41}
CSF, SOFT, SKIN = 24, 507, 511
CORD_CSF, FAT = 600, 601
HIND = [7, 8, 16, 46, 47]
# Kept below the hindbrain and in front of the brain, mm: the maps reach down to the shoulders.
NECK = 60


def soft_tissue(labels, rng):
    """Fat below the skin and in patches of the depth: one label would be one grey."""
    depth = ndimage.distance_transform_edt((labels != SKIN) & (labels != 0))
    patches = ndimage.gaussian_filter(rng.standard_normal(labels.shape).astype(np.float32), 4)
    fat = (depth < 3.5) | (patches > 0.6 * patches.std())
    labels[(labels == SOFT) & fat] = FAT


def prepared(path, seed):
    image = nib.as_closest_canonical(nib.load(path))
    if image.header.get_zooms() != (1.0, 1.0, 1.0):
        sys.exit(f"{path}: voxels of {image.header.get_zooms()} mm, not 1")
    labels = np.rint(np.asarray(image.dataobj)).astype(np.uint16)
    for old, new in (SAME | WHITE).items():
        labels[labels == old] = new
    lowest = np.flatnonzero(np.isin(labels, HIND).any(axis=(0, 1)))[0]
    # The skull's lower end is where the fluid is no longer the brain's.
    below = labels[..., : max(lowest - 3, 0)]
    below[below == CSF] = CORD_CSF
    soft_tissue(labels, np.random.default_rng(seed))
    box = [np.flatnonzero((labels > 0).any(axis=tuple({0, 1, 2} - {a}))) for a in range(3)]
    low = [max(b[0] - 6, 0) for b in box]
    high = [min(b[-1] + 7, n) for b, n in zip(box, labels.shape)]
    low[2] = max(low[2], lowest - NECK)
    labels = labels[tuple(slice(a, b) for a, b in zip(low, high))]
    affine = image.affine @ np.block([[np.eye(3), np.array([low]).T], [np.zeros(3), 1]])
    return nib.Nifti1Image(labels, affine)


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    maps, out = map(Path, sys.argv[1:])
    for n, wanted in enumerate(SUMS, 1):
        path = maps / f"training_seg_{n:02}.nii.gz"
        if hashlib.sha256(path.read_bytes()).hexdigest() != wanted:
            sys.exit(f"{path}: not the file that the recipe was made with (SHA-256)")
        folder = out / ("test" if n in TEST else "train")
        folder.mkdir(parents=True, exist_ok=True)
        nib.save(prepared(path, n), folder / f"head_{n:02}.nii.gz")


main()
