"""Reference numbers for augmentation, computed with NumPy, SciPy and scikit-image.

    python augment.py > augment.json

The images, labels and noise are formulas that the test evaluates as well; every other random
number is a parameter in the result. Transforms are computed in double precision the plain way:
three-dimensional FFTs, full-size noise, `map_coordinates` at every point.
"""

import json
import sys

import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates
from skimage.transform import resize


def image(shape, low=0.0):
    """Rough numbers, so that every tap of an interpolation matters."""
    x, y, z = np.meshgrid(*map(np.arange, shape), indexing="ij")
    rough = (x * 73 + y * 179 + z * 283 + x * y * 7 + y * z * 11 + x * z * 5) % 997
    return rough / 996 + low


def labels(shape):
    return np.floor(image(shape) * 996).astype(int) % 50


def noise(shape, which):
    """Numbers in -1..1 without order."""
    i = np.arange(np.prod(shape), dtype=np.int64)
    numbers = (i * i * 31 + i * 7919 + which * 104729) % 10007
    return (numbers / 10006 * 2 - 1).reshape(shape, order="F")


def case(out, count=150, **parameters):
    flat = out.ravel(order="F")
    at = np.unique(np.linspace(0, flat.size - 1, count).astype(int))
    return {
        **parameters,
        "sum": float(flat.sum()),
        "index": at.tolist(),
        "value": [float(v) for v in flat[at]],
    }


def clip(out, data):
    return np.clip(out, data.min(), data.max())


def rotation(x, y, z):
    (sx, sy, sz), (cx, cy, cz) = np.sin([x, y, z]), np.cos([x, y, z])
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return about_x @ about_y @ about_z


def displacement(shape, sigma, alpha):
    smooth = [gaussian_filter(noise(shape, c), sigma, mode="constant", cval=0) for c in range(3)]
    return np.array(smooth) * alpha


def spatial():
    for shape, patch, centre, angles, scale, elastic in [
        # Half a voxel, as between 181 and 128; then whole sources and parts of them.
        ((23, 18, 13), (16, 11, 9), None, (0, 0, 0), 1.0, None),
        ((23, 18, 13), (16, 11, 9), (11.0, 8.5, 6.0), (0, 0, 0), 0.9, None),
        ((23, 18, 13), (16, 11, 9), (11.0, 8.5, 6.0), (0, 0, 0), 1.37, None),
        ((64, 9, 57), (30, 9, 22), (29.5, 4.0, 31.5), (0, 0, 0), 1.083, None),
        ((23, 18, 13), (16, 11, 9), None, (0.5, 0, 0), 1.0, None),
        ((23, 18, 13), (16, 11, 9), None, (0.31, -0.42, 0.17), 1.0, None),
        ((60, 55, 70), (17, 13, 22), (25.0, 27.0, 40.5), (-0.5, 0.2, 0.44), 1.09, None),
        ((23, 18, 13), (16, 11, 9), None, (0, 0, 0), 1.0, (21.5, 3000.0)),
        ((23, 18, 13), (16, 11, 9), None, (0, 0.2, -0.1), 0.93, (27.3, 2000.0)),
        ((41, 37, 33), (35, 31, 29), None, (0, 0, 0), 1.0, (4.6, 60.0)),
        ((41, 37, 33), (35, 31, 29), None, (0.1, 0, 0), 1.0, (2.0, 9.0)),
        ((12, 1, 3), (9, 1, 2), None, (0, 0, 0.3), 0.8, None),
        ((12, 1, 3), (9, 1, 2), None, (0, 0, 0), 0.8, None),
        ((70, 6, 40), (64, 5, 35), None, (0.0, 0.3, 0.0), 1.0, (20.0, 2500.0)),
    ]:
        if centre is None:
            centre = [n / 2 - 0.5 for n in shape]
        mesh = np.array(np.meshgrid(*map(np.arange, patch), indexing="ij"), dtype=float)
        half = (np.array(patch) - 1) / 2
        points = mesh - half[:, None, None, None]
        moved = None
        if elastic is not None:
            moved = displacement(patch, *elastic)
            points = points + moved
        points = (points.reshape(3, -1).T @ rotation(*angles)).T * scale
        points = points.reshape(mesh.shape) + np.array(centre)[:, None, None, None]
        data = image(shape, -0.2)
        out = map_coordinates(data, points, order=3, mode="constant", cval=data.min(), output=float)
        near = map_coordinates(labels(shape), points, order=0, mode="constant", cval=0)
        yield {
            "shape": shape,
            "patch": patch,
            "centre": list(centre),
            "angles": angles,
            "scale": scale,
            "elastic": elastic,
            "cubic": case(clip(out, data)),
            "nearest": case(near.astype(float)),
            "displacement": None if moved is None else [case(m, 60) for m in moved],
        }


SHAPE = (23, 18, 13)


def noises():
    for sigma in (0.002, 0.2):
        data, n = image(SHAPE, -0.3), noise(SHAPE, 3)
        yield {
            "sigma": sigma,
            "additive": case(clip(data + sigma * n, data)),
            "multiplicative": case(clip(data + data * sigma * n, data)),
        }


def blur():
    for shape, sigma in [(SHAPE, 0.1), (SHAPE, 0.4), (SHAPE, 0.97), ((5, 1, 40), 2.6)]:
        data = image(shape, -0.3)
        yield case(clip(gaussian_filter(data, sigma), data), shape=shape, sigma=sigma)


def ghosting():
    for shape, low in [(SHAPE, 0.0), (SHAPE, -0.3), ((16, 35, 20), 0.1), ((1, 2, 7), 0.0)]:
        for axis, (alpha, every) in enumerate([(0.85, 2), (0.6, 3), (0.91, 7)]):
            for with_mean in (True, False):
                data = image(shape, low)
                lift = max(0.0, -data.min())
                k = np.fft.fftn(data + lift)
                planes = np.moveaxis(k, axis, 0)
                mean = planes[0].copy()
                planes[0:-1:every] *= alpha
                if not with_mean:
                    planes[0] = mean
                out = np.abs(np.fft.ifftn(k)) - lift
                yield case(
                    clip(out, data),
                    count=60,
                    shape=shape,
                    low=low,
                    axis=axis,
                    alpha=alpha,
                    every=every,
                    with_mean=with_mean,
                )


def ringing():
    for shape, low in [(SHAPE, 0.0), (SHAPE, -0.3), ((16, 35, 20), 0.1)]:
        for axis in range(3):
            n = shape[axis]
            for planes in (n - 1, n - 4, n // 2, 1):
                data = image(shape, low)
                lift = max(0.0, -data.min())
                k = np.fft.fftshift(np.fft.fftn(data + lift))
                view = np.moveaxis(k, axis, 0)
                middle, half = int(np.ceil(n / 2)), int(np.ceil(planes / 2))
                view[: middle - half] = 0
                view[middle + half :] = 0
                out = np.abs(np.fft.ifftn(np.fft.ifftshift(k))) - lift
                yield case(
                    clip(out, data), count=60, shape=shape, low=low, axis=axis, planes=planes
                )


def low_resolution():
    for shape, target in [
        (SHAPE, (12, 18, 13)),
        (SHAPE, (23, 9, 8)),
        (SHAPE, (17, 11, 7)),
        ((9, 1, 70), (5, 1, 36)),
        ((8, 3, 2), (1, 2, 1)),
    ]:
        data = image(shape, -0.3)
        small = resize(data, target, order=0, mode="edge", anti_aliasing=False)
        out = resize(small, shape, order=3, mode="edge", anti_aliasing=False)
        yield case(clip(out, data), shape=shape, target=target)


def bias_field():
    for shape, centre in [(SHAPE, (3, 17, 6)), (SHAPE, (22, 0, 12)), ((5, 1, 40), (2, 0, 39))]:
        data = image(shape, -0.3)
        grid = np.meshgrid(*[np.arange(n, dtype=float) for n in shape], indexing="ij")
        gain = 1 - sum((g - c) ** 2 / n**2 for g, c, n in zip(grid, centre, shape))
        yield case(clip(gain * data, data), shape=shape, centre=centre)


def gamma():
    for power in (0.5, 0.83, 1.4, 2.0):
        for invert in (False, True):
            for reference in (False, True):
                data = image(SHAPE, -0.3) * 1.7
                x = -data if invert else data
                low, extent = x.min(), x.max() - x.min()
                before = extent + (1 if reference else 1e-7)
                after = extent if reference else extent + 1e-7
                out = clip(np.power((x - low) / before, power) * after + low, x)
                out = -out if invert else out
                yield case(out, count=60, gamma=power, invert=invert, reference=reference)


def rounded(value):
    if isinstance(value, float):
        return float(f"{value:.8g}")
    if isinstance(value, dict):
        return {k: rounded(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(v) for v in value]
    return value


if __name__ == "__main__":
    report = {
        "spatial": list(spatial()),
        "noise": list(noises()),
        "blur": list(blur()),
        "ghosting": list(ghosting()),
        "ringing": list(ringing()),
        "low_resolution": list(low_resolution()),
        "bias_field": list(bias_field()),
        "gamma": list(gamma()),
    }
    json.dump(rounded(report), sys.stdout, separators=(",", ":"))
