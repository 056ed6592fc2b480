"""Times augmentation as the AMAES reference computes it, for `tests/benches/augment.rs`.

A line in: a transform's name; a line out: milliseconds of one run on one thread. The source has
181^3 voxels, the patch 128^3.
"""

import sys
import time

import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates
from skimage.transform import resize

SOURCE, PATCH = (181,) * 3, (128,) * 3
random = np.random.default_rng(1)
source = random.random(SOURCE, dtype=np.float32)
patch = random.random(PATCH, dtype=np.float32)


def spatial(elastic, angle, scale):
    points = np.array(np.meshgrid(*map(np.arange, PATCH), indexing="ij")).astype(float) - 63.5
    if elastic:
        points += [
            gaussian_filter(random.random(PATCH) * 2 - 1, 25, mode="constant", cval=0) * 400
            for _ in range(3)
        ]
    if angle:
        (s, c), one = (np.sin(angle), np.cos(angle)), np.eye(3)
        for a, b in ((1, 2), (0, 2), (0, 1)):
            turn = np.eye(3)
            turn[a, a] = turn[b, b] = c
            turn[a, b], turn[b, a] = -s, s
            one = one @ turn
        points = (points.reshape(3, -1).T @ one).T.reshape(points.shape)
    points = points * scale + 90
    data = source.astype(float)
    out = map_coordinates(data, points, order=3, mode="constant", cval=data.min())
    return np.clip(out, data.min(), data.max())


def clip(out):
    return np.clip(out, patch.min(), patch.max())


def ghosting():
    k = np.fft.fftn(patch)
    k[:, 0:-1:3] *= 0.9
    return clip(abs(np.fft.ifftn(k)))


def ringing():
    k = np.fft.fftshift(np.fft.fftn(patch))
    k[:, :14] = 0
    k[:, 114:] = 0
    return clip(abs(np.fft.ifftn(np.fft.ifftshift(k))))


def low_resolution():
    small = resize(patch.astype(float), (96, 128, 96), order=0, mode="edge", anti_aliasing=False)
    return clip(resize(small, PATCH, order=3, mode="edge", anti_aliasing=False))


def bias_field():
    grid = np.meshgrid(*[np.linspace(0, n, n, endpoint=False) for n in PATCH], indexing="ij")
    return clip((1 - sum(np.power(g - 40, 2) / n**2 for g, n in zip(grid, PATCH))) * patch)


def gamma():
    low, extent = patch.min(), np.ptp(patch)
    return clip(np.power((patch - low) / float(extent + 1e-7), 1.3) * extent + low)


TRANSFORMS = {
    "nothing drawn": lambda: spatial(False, 0, 1),
    "scale": lambda: spatial(False, 0, 0.95),
    "rotation": lambda: spatial(False, 0.3, 1),
    "elastic": lambda: spatial(True, 0, 1),
    "elastic, rotation, scale": lambda: spatial(True, 0.3, 0.95),
    "additive noise": lambda: clip(patch + np.random.normal(0, 1e-3, PATCH)),
    "blur": lambda: clip(gaussian_filter(patch, 0.6)),
    "multiplicative noise": lambda: clip(patch + patch * np.random.normal(0, 1e-3, PATCH)),
    "motion ghosting": ghosting,
    "Gibbs ringing": ringing,
    "low resolution": low_resolution,
    "bias field": bias_field,
    "gamma": gamma,
}

for line in sys.stdin:
    start = time.perf_counter()
    TRANSFORMS[line.rstrip("\n")]()
    print((time.perf_counter() - start) * 1e3, flush=True)
