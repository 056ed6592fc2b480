"""Reference numbers for the conform step, computed with nibabel, NumPy and SciPy alone.

    python conform.py MRI_FOLDER > conform.json

FreeSurfer's `mri_convert --conform --cw256` in its own order: intensities to bytes by the robust
scaling of the source (1000 bins, 0.1 % of the voxels that are not 0 clipped above, 0 stays 0),
then trilinear to 256^3 of 1 mm, LIA, about voxel n/2 of the source, zeros outside, rounded.
"""

import json
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
from scipy.ndimage import affine_transform

FILES = {
    "ds004884_sub-M2051_T1w.nii.gz": 2000,
    "T2w.nii.gz": 100,
    "MR_Gd.nii.gz": 100,
    "CIT168toMNI152-2009c_T1w_brain.nii.gz": 100,
    "CT_AVM.nii.gz": 100,
}


def robust_scale(data):
    """Offset and factor to 0..255."""
    counts, edges = np.histogram(data, bins=1000)
    clipped = int((1.0 - 0.999) * np.count_nonzero(data))
    above = np.cumsum(counts[::-1])[::-1]  # voxels in bin b and higher
    # The highest bin whose upper part holds enough voxels; the one below it is the top.
    b = np.flatnonzero(above >= clipped).max() if clipped else 1000
    return edges[0], 255.0 / (edges[b - 1] - edges[0])


def conform(image):
    data = np.asanyarray(image.dataobj)
    if data.ndim == 4:
        data = data[..., 0]
    stored = data.dtype
    data = data.astype(np.float64)
    if stored == np.uint8:
        scaling, source = None, data
    else:
        offset, scale = robust_scale(data)
        scaling = [float(offset), float(scale)]
        source = np.clip(np.floor((data - offset) * scale + 0.5), 0, 255)
        source[data == 0] = 0
    target = np.array([[-1.0, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1]])
    centre = image.affine @ np.append(np.array(data.shape) / 2, 1)
    target[:3, 3] = centre[:3] - target[:3, :3] @ np.full(3, 128.0)
    to_source = np.linalg.inv(image.affine) @ target
    out = affine_transform(
        source, to_source, output_shape=(256,) * 3, order=1, mode="grid-constant", cval=0.0
    )
    return target, scaling, np.floor(out + 0.5)


def main():
    folder = Path(sys.argv[1])
    rng = np.random.default_rng(1)
    report = {}
    for name, samples in FILES.items():
        affine, scaling, out = conform(nib.load(folder / name))
        flat = out.ravel(order="F")
        at = np.sort(rng.choice(np.flatnonzero(flat), samples, replace=False))
        n = 8 if samples > 1000 else 4
        blocks = out.reshape((n, 256 // n) * 3).mean(axis=(1, 3, 5))
        report[name] = {
            "affine": affine[:3].tolist(),
            "scaling": scaling,
            "index": at.tolist(),
            "value": flat[at].astype(int).tolist(),
            "block_means": [round(float(v), 2) for v in blocks.ravel(order="F")],
        }
    json.dump(report, sys.stdout, separators=(",", ":"))


if __name__ == "__main__":
    main()
