"""Writes volumes.json: what nibabel reads from every test volume, and how it reads odd headers.

    python volumes.py SHARED_MRI_FOLDER > volumes.json

needs nibabel (5.4) and NumPy. Data are float32 in Fortran order; `crc` is their CRC-32.
"""

import json
import logging
import math
import os
import struct
import sys
import tempfile
import warnings
import zlib

import nibabel as nib
import numpy as np
from nibabel.orientations import axcodes2ornt, inv_ornt_aff, io_orientation, ornt_transform

warnings.simplefilter("ignore")
logging.disable(logging.CRITICAL)

SAMPLES = 64


def number(x):
    """A JSON number, or the name of what JSON cannot hold."""
    x = float(x)
    return x if math.isfinite(x) else str(x)


def rows(affine):
    return [[number(v) for v in row] for row in np.asarray(affine, dtype=np.float64)[:3]]


def crc(data):
    return zlib.crc32(np.asfortranarray(data, dtype="<f4").tobytes(order="F"))


def volume(folder, name):
    image = nib.load(os.path.join(folder, name))
    dims = list(map(int, image.shape))
    all_data = image.get_fdata(dtype=np.float32).reshape(dims[:3] + [-1], order="F")
    entries = []
    for index in sorted({0, all_data.shape[3] - 1}):
        data = all_data[..., index]
        flat = data.ravel(order="F").astype(np.float64)
        at = np.random.default_rng(0).integers(0, flat.size, SAMPLES)
        # The brightest voxel, for files that are mostly background.
        at[0] = int(np.argmax(flat))
        entries.append(
            {
                "index": index,
                "crc": crc(data),
                "sum": number(flat.sum()),
                "mean": number(flat.mean()),
                "std": number(flat.std()),
                "min": number(flat.min()),
                "max": number(flat.max()),
                "samples": [[int(i), number(flat[i])] for i in at],
            }
        )
    return {
        "name": name,
        "dims": dims,
        "datatype": image.get_data_dtype().name,
        "affine": rows(image.affine),
        "orientation": "".join(nib.aff2axcodes(image.affine)),
        "volumes": entries,
    }


def reoriented(folder, name):
    """All 48 orientations of a small volume."""
    image = nib.load(os.path.join(folder, name))
    data = image.get_fdata(dtype=np.float32)
    out = {}
    for order in ("RAS", "RSA", "ARS", "ASR", "SRA", "SAR"):
        for bits in range(8):
            swap = dict(zip("RAS", "LPI"))
            code = "".join(swap[c] if bits >> i & 1 else c for i, c in enumerate(order))
            change = ornt_transform(io_orientation(image.affine), axcodes2ornt(code))
            turned = nib.apply_orientation(data, change)
            out[code] = {
                "affine": rows(image.affine @ inv_ornt_aff(change, data.shape)),
                "crc": crc(turned),
            }
    return {"name": name, "orientations": out}


def orientations():
    """Random affines, among them strongly sheared and turned ones, and their nearest axes."""
    rng = np.random.default_rng(7)
    out = []
    for i in range(60):
        matrix = rng.normal(size=(3, 3)) if i % 2 else np.linalg.qr(rng.normal(size=(3, 3)))[0]
        matrix = matrix * rng.uniform(0.2, 5, size=3)
        if abs(np.linalg.det(matrix / np.linalg.norm(matrix, axis=0))) < 0.05:
            continue
        affine = np.eye(4)
        affine[:3, :3] = np.round(matrix, 4)
        affine[:3, 3] = np.round(rng.uniform(-100, 100, size=3), 2)
        out.append({"affine": rows(affine), "orientation": "".join(nib.aff2axcodes(affine))})
    return out


def odd_headers():
    """Small files with single fields changed: what nibabel makes of them, or that it refuses."""
    nan, inf = float("nan"), float("inf")
    one = nib.Nifti1Image(np.arange(24, dtype=np.int16).reshape((2, 3, 4), order="F"), np.eye(4))
    one.set_qform([[0, -3, 0, 1], [2, 0, 0, 2], [0, 0, 4, 3], [0, 0, 0, 1]], code=1)
    one.set_sform(np.array([[2, 0.1, 0, 5], [0, 3, 0.2, 6], [0.3, 0, 4, 7], [0, 0, 0, 1]]), code=2)
    two = nib.Nifti2Image(one.dataobj, None, one.header)
    two.set_sform(*one.get_sform(coded=True))
    two.set_qform(*one.get_qform(coded=True))
    mgh = nib.MGHImage(one.get_fdata().astype(np.float32), one.get_sform())
    n1, n2 = "<h", "<i"
    sform1, qform1 = [254, n1, 0], [252, n1, 0]
    sform2, qform2 = [348, n2, 0], [344, n2, 0]
    cases = [
        ("nii", one, [
            [],
            [sform1], [sform1, qform1],
            [[254, n1, -1]], [[254, n1, 6]], [[254, n1, 5]], [[252, n1, 9], sform1],
            [sform1, [76, "<f", -1]], [sform1, [76, "<f", 0]], [sform1, [76, "<f", 3]],
            [sform1, [80, "<fff", -2, 0, 4]], [sform1, qform1, [80, "<fff", -2, 0, 4]],
            [sform1, qform1, [80, "<f", nan]],
            [sform1, [256, "<fff", 1, 0, 0]], [sform1, [256, "<fff", 1.0000001, 0, 0]],
            [sform1, [256, "<fff", 0.9999999, 0, 0]], [sform1, [256, "<fff", 1, 0.01, 0]],
            [sform1, [256, "<fff", 0.3, -0.5, 0.7]], [sform1, [256, "<f", nan]],
            [[112, "<ff", 2, 5]], [[112, "<ff", -0.1, 3]], [[112, "<ff", 0, 5]],
            [[112, "<ff", nan, 5]], [[112, "<ff", inf, 5]], [[112, "<ff", -inf, nan]],
            [[112, "<ff", 2, nan]], [[112, "<ff", 2, inf]], [[112, "<ff", 1, 5]],
            [[108, "<f", 352.7]], [[108, "<f", 340]], [[108, "<f", -16]], [[108, "<f", nan]],
            [[40, "<8h", 2, 2, 3, 4, 1, 1, 1, 1]], [[40, "<8h", 2, 2, 3, 4, 1, 1, 1, 1], sform1, qform1],
            [[40, "<8h", 1, 2, 3, 4, 1, 1, 1, 1], sform1, qform1],
            [[40, "<8h", 5, 2, 3, 4, 1, 1, 1, 1]], [[40, "<8h", 8, 2, 3, 4, 1, 1, 1, 1]],
            [[40, "<8h", 3, 2, -3, 4, 1, 1, 1, 1]],
            [[0, "<i", 0]], [[72, "<h", 99]], [[344, "<4s", b"n+3\0"]],
            [[70, "<h", 512]], [[70, "<h", 1]], [[70, "<h", 77]],
        ]),
        ("nii", two, [
            [],
            [sform2], [sform2, qform2], [[348, n2, 7]],
            [sform2, [352, "<ddd", 1, 1e-9, 0]], [sform2, [352, "<ddd", 1, 1e-6, 0]],
            [sform2, [352, "<ddd", 0.3, -0.5, 0.7]],
            [sform2, [104, "<d", -1]], [sform2, qform2, [112, "<ddd", -2, 0, 4]],
            [[176, "<dd", 0.1, 3]], [[176, "<dd", nan, 3]], [[176, "<dd", 3, nan]],
            [[8, "<4s", b"\0\0\0\0"]], [[8, "<4s", b"\n\x1a\n\0"]],
            [[168, "<q", 540]],
        ]),
        ("mgh", mgh, [[], [[28, ">h", 0]], [[28, ">h", -1]], [[0, ">i", 2]], [[20, ">i", 2]]]),
    ]
    out = []
    for ext, image, variants in cases:
        base = image.to_bytes()
        group = {"base": base.hex(), "cases": []}
        for changes in variants:
            data = bytearray(base)
            patches = []
            for at, fmt, *values in changes:
                new = struct.pack(fmt, *values)
                data[at : at + len(new)] = new
                patches.append([at, new.hex()])
            case = {"patches": patches}
            with tempfile.NamedTemporaryFile(suffix="." + ext) as f:
                f.write(data)
                f.flush()
                try:
                    read = nib.load(f.name)
                    values = read.get_fdata(dtype=np.float32)
                    case["affine"] = rows(read.affine)
                    case["dims"] = list(map(int, read.shape))
                    case["crc"] = crc(values)
                    case["values"] = [number(v) for v in values.ravel(order="F")[:3]]
                except Exception as error:
                    case["refused"] = type(error).__name__
            group["cases"].append(case)
        out.append(group)
    return out


def main():
    mri = sys.argv[1]
    own = os.path.join(os.path.dirname(nib.__file__), "tests", "data")
    names = [n for n in sorted(os.listdir(mri)) if n.endswith((".nii.gz", ".nii", ".mgz"))]
    # CIFTI-2 files are NIfTI-2 without space; nibabel gives them no affine.
    data = [
        n
        for n in sorted(os.listdir(own))
        if n.endswith((".nii", ".nii.gz", ".mgz")) and ".dconn" not in n
    ]
    result = {
        "nibabel": nib.__version__,
        "mri": [volume(mri, n) for n in names],
        "nibabel_data": [volume(own, n) for n in data],
        "reoriented": [reoriented(own, n) for n in ("standard.nii.gz", "anatomical.nii")],
        "orientations": orientations(),
        "odd_headers": odd_headers(),
    }
    text = json.dumps(result, separators=(",", ":"))
    print(text.replace('{"name"', '\n{"name"').replace('{"patches"', '\n{"patches"'))


main()
