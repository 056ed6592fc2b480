"""Reference numbers for resampling and normalisation, computed with NumPy and SciPy.

    python preprocess.py > preprocess.json

The images are formulas that the test evaluates as well.
"""

import json
import sys

import numpy as np
from scipy.ndimage import map_coordinates


def image(shape):
    """Rough integers, so that every tap of an interpolation matters."""
    x, y, z = np.meshgrid(*map(np.arange, shape), indexing="ij")
    return ((x * 73 + y * 179 + z * 283 + x * y * 7 + y * z * 11 + x * z * 5) % 997).astype(float)


def resample(data, old, new, order):
    size = [max(1, int(np.floor(n * s / t + 0.5))) for n, s, t in zip(data.shape, old, new)]
    axes = [
        (n - 1) / 2 + (np.arange(m) - (m - 1) / 2) * t / s
        for n, m, s, t in zip(data.shape, size, old, new)
    ]
    out = map_coordinates(
        data, np.meshgrid(*axes, indexing="ij"), order=order, mode="nearest", output=float
    )
    return np.clip(out, data.min(), data.max())


def resampling():
    for shape, old, new in [
        ((13, 11, 9), (1.0, 1.0, 1.0), (0.7, 1.3, 2.1)),
        ((17, 10, 7), (0.8, 1.2, 3.0), (1.0, 1.0, 1.0)),
        ((9, 1, 70), (1.0, 4.0, 0.5), (0.45, 1.0, 0.83)),
        ((80, 3, 2), (1.5, 1.0, 2.0), (1.5, 0.6, 1.1)),
    ]:
        for order in (0, 1, 3):
            out = resample(image(shape), old, new, order)
            flat = out.ravel(order="F")
            at = np.unique(np.linspace(0, flat.size - 1, 60).astype(int))
            yield {
                "shape": shape,
                "spacing": old,
                "target": new,
                "order": order,
                "target_shape": out.shape,
                "sum": float(flat.sum()),
                "index": at.tolist(),
                "value": [float(v) for v in flat[at]],
            }


def normalisation():
    data = image((21, 17, 13))
    data[:4] = 0
    data[5, 5, 5] = 1e4
    low, high = data.min(), data.max()
    masked = data[data != low]
    q5, q95 = np.quantile(data, [0.05, 0.95])
    top = np.quantile(masked, 0.99)
    # volume_wise_znorm step by step: clip, z-score by the foreground, rescale to 0..1.
    clipped = np.minimum(data, top)
    z = (clipped - clipped[data != low].mean()) / clipped[data != low].std()
    volume_wise = (z - z.min()) / (z.max() - z.min())
    results = {
        "min_max": (data - low) / (high - low),
        "quantile": (data - q5) / (q95 - q5),
        "quantile_clip": np.clip((data - q5) / (q95 - q5 + 1e-3), 0, 1),
        "volume_wise": volume_wise,
        "z_score": (data - masked.mean()) / masked.std(),
    }
    at = np.linspace(0, data.size - 1, 40).astype(int)
    return {
        "index": at.tolist(),
        "value": {k: [float(v) for v in r.ravel(order="F")[at]] for k, r in results.items()},
        "sum": {k: float(r.sum()) for k, r in results.items()},
    }


def rounded(value):
    if isinstance(value, float):
        return float(f"{value:.9g}")
    if isinstance(value, dict):
        return {k: rounded(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(v) for v in value]
    return value


if __name__ == "__main__":
    report = {"resample": list(resampling()), "normalize": normalisation()}
    json.dump(rounded(report), sys.stdout, separators=(",", ":"))
