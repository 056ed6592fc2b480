"""Volumes of every kind for the browser tests, and whether their labels lie where the image does.

`volumes.py make FOLDER` writes images of one head, given in world coordinates, on several grids.
`volumes.py check FOLDER` compares `NAME.labels.nii.gz` with `NAME.nii.gz` by nibabel.
"""

import json
import sys
from pathlib import Path

import nibabel as nib
import numpy as np

# Centre and radii (mm) of the head and two parts of it, and the intensity of each.
PARTS = [
    ((4, -9, 6), (62, 78, 58), 140),
    ((-24, -16, 18), (17, 26, 20), 70),
    ((26, 18, -8), (22, 15, 24), 220),
]


def rotation(degrees):
    out = np.eye(3)
    for axis, angle in enumerate(np.radians(degrees)):
        c, s = np.cos(angle), np.sin(angle)
        turn = np.eye(3)
        i, j = (axis + 1) % 3, (axis + 2) % 3
        turn[i, i], turn[i, j], turn[j, i], turn[j, j] = c, -s, s, c
        out = turn @ out
    return out


def grid(shape, linear):
    """Affine whose grid is centred near the head."""
    affine = np.eye(4)
    affine[:3, :3] = linear
    affine[:3, 3] = np.array([3, -8, 5]) - linear @ ((np.array(shape) - 1) / 2)
    return affine


def head(shape, affine):
    """Intensities on a grid, plane by plane."""
    out = np.zeros(shape, np.uint8)
    x, y = np.meshgrid(np.arange(shape[0]), np.arange(shape[1]), indexing="ij")
    for z in range(shape[2]):
        world = [
            (affine[a, 0] * x + affine[a, 1] * y + affine[a, 2] * z + affine[a, 3]).astype(np.float32)
            for a in range(3)
        ]
        for centre, radii, value in PARTS:
            inside = sum(((w - c) / r) ** 2 for w, c, r in zip(world, centre, radii)) < 1
            out[:, :, z][inside] = value
    return out


CASES = {
    "anisotropic": ([180, 200, 44], np.diag([0.9, 0.9, 4.0]), np.uint8),
    "oblique": ([130, 150, 120], rotation([14, -9, 21]) @ np.diag([1.2, 1.2, 1.2]), np.uint8),
    # With an even number every second voxel lies halfway between two of the network's, and the
    # nearest of equals is always the same one: a quarter of a millimetre along each axis.
    "fine": ([401, 401, 401], np.diag([0.5, 0.5, 0.5]), np.uint8),
    "coarse": ([70, 90, 66], np.diag([2.0, 2.0, 2.0]), np.uint8),
    "noncubic": ([96, 170, 140], np.array([[0, 0, -1], [1.1, 0, 0], [0, -1, 0]], float) @ np.diag([1.7, 1, 1]), np.uint8),
    "int16": ([150, 180, 140], np.diag([-1.0, 1.0, 1.0]), np.int16),
    "big_endian": ([150, 180, 140], np.diag([1.0, 1.0, 1.0]), ">i2"),
}


def make(folder):
    for name, (shape, linear, kind) in CASES.items():
        affine = grid(shape, np.array(linear, float))
        data = head(shape, affine)
        if name == "int16":
            image = nib.Nifti1Image(data.astype(np.int16) * 20 - 1000, affine)
            # Stored as they are; what is read is scaled.
            image.header.set_slope_inter(0.05, 50)
        else:
            dtype = np.dtype(kind)
            header = nib.Nifti1Header(endianness=">" if dtype.byteorder == ">" else "<")
            header.set_data_dtype(dtype)
            image = nib.Nifti1Image(data.astype(dtype), affine, header)
        nib.save(image, folder / f"{name}.nii.gz")


def check(folder):
    out = {}
    for name in CASES:
        image = nib.load(folder / f"{name}.nii.gz")
        labels = nib.load(folder / f"{name}.labels.nii.gz")
        truth = np.asanyarray(image.dataobj)
        found = np.asanyarray(labels.dataobj)
        assert labels.shape == image.shape, (name, labels.shape, image.shape)
        np.testing.assert_allclose(labels.affine, image.affine, atol=1e-4)
        parts = []
        for label, value in ((1, 70), (2, 140), (3, 220)):
            a, b = np.abs(truth - value) < 1, found == label
            # About the part: between head and air the intensities of others are passed.
            box = tuple(slice(max(0, i.min() - 2), i.max() + 3) for i in np.nonzero(a))
            a, b = a[box], b[box]
            places = [np.array([i.mean() for i in np.nonzero(m)]) for m in (a, b)]
            shift = np.linalg.norm(image.affine[:3, :3] @ (places[0] - places[1]))
            dice = 2 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b))
            parts.append({"label": label, "dice": float(dice), "shift_mm": float(shift)})
        out[name] = {"byte_order": image.header.endianness, "parts": parts}
    print(json.dumps(out))


if __name__ == "__main__":
    {"make": make, "check": check}[sys.argv[1]](Path(sys.argv[2]))
