"""Reference numbers for components, hole filling, statistics and Dice, computed with SciPy.

    python postprocess.py LABELS_FOLDER MRI_FOLDER > postprocess.json

The random maps are a formula that the test evaluates as well.
"""

import json
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
from scipy import ndimage

SHAPE = (41, 37, 33)


def random_map(density):
    """Labels 1 to 3 on `density` per mille of the voxels, by a 32-bit integer hash."""
    i = np.arange(np.prod(SHAPE), dtype=np.uint64)
    h = (i * 2654435761 + 12345) % 2**32
    h ^= h >> 15
    h = h * 2246822519 % 2**32
    h ^= h >> 13
    labels = np.where(h % 1000 < density, 1 + (h // 1000) % 3, 0)
    return labels.astype(np.int64).reshape(SHAPE, order="F")


def sizes(mask, connectivity):
    numbered, _ = ndimage.label(mask, ndimage.generate_binary_structure(3, connectivity))
    return np.sort(np.bincount(numbered.ravel())[1:])[::-1]


def components(labels):
    out = []
    for connectivity in (1, 2, 3):
        all_labels = sizes(labels != 0, connectivity)
        own = {int(v): sizes(labels == v, connectivity) for v in np.unique(labels) if v}
        out.append(
            {
                "count": len(all_labels),
                "largest": all_labels[:3].tolist(),
                "small": int(all_labels[all_labels < 10].sum()),
                "per_label": {v: [len(s), int(s[0])] for v, s in own.items()},
            }
        )
    return out


def holes(labels):
    background = labels == 0
    own = {
        int(v): int((ndimage.binary_fill_holes(labels == v) & background).sum())
        for v in np.unique(labels)
        if v
    }
    filled = ndimage.binary_fill_holes(labels != 0)
    return {"foreground": int((filled & background).sum()), "per_label": own}


def statistics(labels, image, affine):
    out = {}
    for v in np.unique(labels):
        if v == 0:
            continue
        where = np.argwhere(labels == v)
        values = image[labels == v].astype(np.float64)
        out[int(v)] = {
            "voxels": len(where),
            "mean": float(values.mean()),
            "std": float(values.std()),
            "centroid": (affine @ np.append(where.mean(0), 1))[:3].tolist(),
            "start": where.min(0).tolist(),
            "end": (where.max(0) + 1).tolist(),
        }
    return out


def main():
    labels_folder, mri = map(Path, sys.argv[1:])
    report = {"random": {}, "real": {}}
    for density in (100, 250, 400, 800, 950):
        labels = random_map(density)
        report["random"][density] = {"components": components(labels), "holes": holes(labels)}
    image = nib.load(mri / "t1_crop.nii.gz")
    data = np.asanyarray(image.dataobj)
    maps = {}
    for name in ("t1_crop.model5_gw_ae.nii.gz", "t1_crop.model18cls.nii.gz"):
        labels = np.asanyarray(nib.load(labels_folder / name).dataobj).astype(np.int64)
        maps[name] = labels
        report["real"][name] = {
            "components": components(labels),
            "holes": holes(labels),
            "statistics": statistics(labels, data, image.affine),
        }
    a, b = (m == 1 for m in maps.values())
    report["dice"] = float(2 * (a & b).sum() / (a.sum() + b.sum()))
    json.dump(report, sys.stdout, separators=(",", ":"))


if __name__ == "__main__":
    main()
