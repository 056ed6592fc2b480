"""Reference numbers for the metrics of segmentations: MONAI for surfaces, scikit-learn and
SimpleITK for voxel counts, SciPy and SimpleITK for lesions.

    python metric.py > metric.json

Label maps are written as runs (value, count, ...), first axis fastest.
"""

import json
import math
import sys
import warnings

import numpy as np
import SimpleITK as sitk
import torch
from monai.metrics import (
    compute_average_surface_distance,
    compute_hausdorff_distance,
    compute_surface_dice,
)
from scipy import ndimage
from sklearn.metrics import f1_score, precision_score, recall_score

TOLERANCES = [0.0, 1.0, 2.1, 5.0]
random = np.random.default_rng(20260)


def blobs(shape, labels, share, width):
    """Smooth random shapes of `labels` labels that fill about `share` of the volume."""
    field = ndimage.gaussian_filter(random.normal(size=shape), width)
    inside = field > np.quantile(field, 1 - share)
    kind = ndimage.gaussian_filter(random.normal(size=(labels, *shape)), (0, *[width] * 3))
    return np.where(inside, 1 + kind.argmax(0), 0)


def jittered(labels, flips):
    """The labels moved by one voxel along the first axis, with some voxels changed."""
    out = np.roll(labels, 1, axis=0)
    change = random.random(labels.shape) < flips
    return np.where(change, random.integers(0, labels.max() + 1, labels.shape), out)


def filled(shape, *boxes):
    out = np.zeros(shape, int)
    for value, box in boxes:
        out[tuple(slice(a, b) for a, b in box)] = value
    return out


def pairs():
    shape = (19, 23, 16)
    a = blobs(shape, 3, 0.3, 2.0)
    yield "blobs", a, jittered(a, 0.01), (1.0, 1.0, 1.0)
    a = blobs(shape, 3, 0.25, 2.0)
    yield "anisotropic", a, jittered(a, 0.005), (0.7, 1.3, 4.0)
    yield "unrelated", blobs(shape, 2, 0.2, 1.5), blobs(shape, 2, 0.3, 1.5), (3.0, 0.5, 1.1)
    a = blobs(shape, 1, 0.06, 0.8)
    yield "lesions", a, np.where(random.random(shape) < 0.3, 0, jittered(a, 0.01)), (0.9, 0.9, 3.0)
    noise = [random.integers(0, 4, (9, 8, 7)) for _ in range(2)]
    yield "noise", *noise, (1.0, 2.0, 0.5)
    whole = [(0, 9), (0, 8), (0, 7)]
    part = [(0, 6), (3, 8), (0, 7)]
    yield "borders", filled((9, 8, 7), (1, whole)), filled((9, 8, 7), (1, part)), (1.0, 1.5, 2.0)
    one = [(8, 9), (0, 1), (6, 7)]
    other = [(0, 1), (7, 8), (0, 1)]
    yield "single voxels", filled((9, 8, 7), (2, one)), filled((9, 8, 7), (2, other)), (1.2, 1.0, 3.0)
    yield "same", *[filled((9, 8, 7), (1, part))] * 2, (1.0, 1.0, 1.0)
    yield "missed", filled((9, 8, 7), (1, part)), filled((9, 8, 7), (2, one)), (1.0, 1.0, 1.0)
    flat = [(2, 5), (0, 1), (1, 6)]
    yield "flat", filled((9, 1, 7), (1, flat)), filled((9, 1, 7), (1, [(4, 8), (0, 1), (0, 3)])), (
        1.0,
        5.0,
        0.8,
    )


def runs(labels):
    flat = labels.ravel(order="F")
    edges = np.flatnonzero(np.diff(flat)) + 1
    starts = np.concatenate([[0], edges])
    counts = np.diff(np.concatenate([starts, [len(flat)]]))
    return np.stack([flat[starts], counts], 1).ravel().tolist()


def number(value):
    value = float(value)
    return value if math.isfinite(value) else None


def surfaces(reference, prediction, spacing):
    y, p = (torch.from_numpy(m)[None, None].float() for m in (reference, prediction))
    settings = {"include_background": True, "spacing": spacing}
    return {
        "surface_dice": [number(compute_surface_dice(p, y, [t], **settings)) for t in TOLERANCES],
        "hd95": number(compute_hausdorff_distance(p, y, percentile=95, **settings)),
        "hausdorff": number(compute_hausdorff_distance(p, y, **settings)),
        "mean": number(compute_average_surface_distance(p, y, symmetric=True, **settings)),
    }


def counts(reference, prediction):
    y, p = reference.ravel(), prediction.ravel()
    out = {
        "sensitivity": recall_score(y, p, zero_division=np.nan),
        "precision": precision_score(y, p, zero_division=np.nan),
        "dice": f1_score(y, p, zero_division=np.nan),
    }
    similarity = math.nan
    if y.any() or p.any():
        # SimpleITK's is signed and runs to 2.
        overlap = sitk.LabelOverlapMeasuresImageFilter()
        overlap.Execute(*[sitk.GetImageFromArray(m.astype(np.uint8)) for m in (reference, prediction)])
        similarity = 1 - abs(overlap.GetVolumeSimilarity()) / 2
    return {k: number(v) for k, v in out.items()} | {"volume_similarity": number(similarity)}


def lesions_itk(reference, prediction):
    """Lesions as the WMH challenge counts them."""
    connected = sitk.ConnectedComponentImageFilter()
    connected.SetFullyConnected(True)
    numbered = [
        sitk.GetArrayFromImage(connected.Execute(sitk.GetImageFromArray(m.astype(np.uint8))))
        for m in (reference, prediction)
    ]
    out = []
    for own, other in (numbered, numbered[::-1]):
        out += [int(own.max()), len(np.setdiff1d(own[other > 0], [0]))]
    return out


def lesions_scipy(reference, prediction, voxel, min_mm3, min_overlap):
    structure = np.ones((3, 3, 3))
    out = []
    for own, other in ((reference, prediction), (prediction, reference)):
        numbered, n = ndimage.label(own, structure)
        index = np.arange(1, n + 1)
        size = ndimage.sum_labels(np.ones(own.shape), numbered, index)
        covered = ndimage.sum_labels(other, numbered, index)
        counted = size * voxel >= min_mm3
        out += [int(counted.sum()), int((counted & (covered > 0) & (covered / size >= min_overlap)).sum())]
    return out


def main():
    warnings.simplefilter("ignore")
    report = {"tolerances": TOLERANCES, "pairs": []}
    for name, reference, prediction, spacing in pairs():
        pair = {
            "name": name,
            "shape": reference.shape,
            "spacing": spacing,
            "reference": runs(reference),
            "prediction": runs(prediction),
            "structures": [],
        }
        for labels in ([1], [2], [3], [1, 2, 3], [1, 3]):
            y, p = (np.isin(m, labels) for m in (reference, prediction))
            volume = float(np.prod(spacing))
            pair["structures"].append(
                {
                    "labels": labels,
                    **counts(y, p),
                    **surfaces(y, p, spacing),
                    "lesions": lesions_itk(y, p),
                    "lesions_of_3_voxels_half_covered": lesions_scipy(y, p, volume, 2.5 * volume, 0.5),
                }
            )
        report["pairs"].append(pair)
    json.dump(report, sys.stdout, separators=(",", ":"))
    print()


if __name__ == "__main__":
    main()
