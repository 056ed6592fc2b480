"""Scores a brain-tissue network on real images against published networks; none was trained on.

    python score.py --model MODEL [--variants] [--shared ../shared] [--out FOLDER]

Segments the images of SHARED/mri with the model (the largest connected piece) and with published
weights of SHARED/weights (mask: mindgrab; tissue: robust_tissue, tissue_fast, model18cls), and writes
to FOLDER
`results.md`, `results.json` and a picture of each image. Segmentations that are there are kept:
of the references for good, of the model while it is the same file. Needs numpy, nibabel and Pillow.
"""

import argparse
import hashlib
import json
import subprocess
from itertools import combinations
from pathlib import Path

import nibabel as nib
import numpy as np
from PIL import Image

from published import LARGEST, MAJORITY, MASK, TISSUE, segment, tissue

# What each image is, and whether tissue is compared.
IMAGES = {
    "t1_crop": ("T1w", True),
    "ds004884_sub-M2051_T1w": ("T1w, large stroke", True),
    "M2265_T2w": ("T2w", False),
    "MR_Gd": ("T1w with gadolinium, stripped", False),
    "T2w": ("T2w, slices of 2 mm", False),
    "M2208_T2w": ("T2w", False),
    "ICBM2009asym": ("average, T1w", True),
    "T1_head_ext2": ("average, T1w", True),
    "spm152": ("average, T1w", True),
    "MNI152_T1_2mm": ("average, T1w, 2 mm", True),
    "PD25-fusion-template-1mm": ("average, fused contrasts", False),
    "CIT168toMNI152-2009c_T1w_brain": ("average, T1w, stripped", True),
}
OURS_GREY, OURS_WHITE = [1, 4], [2]
# Published networks in pairs, and each with their majority.
AMONG = list(combinations(TISSUE, 2))
VOTED = [(name, MAJORITY) for name in TISSUE]
WANTED = {"brain": 0.95, "grey": 0.85, "white": 0.88}
LABELS = json.loads(Path(__file__).with_name("labels.json").read_text())
COLORS = np.array([label["color"] for label in LABELS])


def dice(a, b):
    both = a.sum() + b.sum()
    return float(2.0 * (a & b).sum() / both) if both else float("nan")


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def picture(image, labels, path):
    """Three slices through the brain, without and with the labels."""

    def canonical(data):
        turned = nib.as_closest_canonical(nib.Nifti1Image(data, image.affine))
        return np.asarray(turned.dataobj)

    grey = canonical(np.asarray(image.dataobj).astype(np.float32))
    labels = canonical(labels.astype(np.uint8))
    inside = labels > 0
    if not inside.any():
        inside = grey > 0
    grey = np.clip(grey / max(np.percentile(grey[inside], 99.5), 1e-6), 0, 1) * 255
    zooms = nib.affines.voxel_sizes(nib.as_closest_canonical(image).affine)
    at = [int(np.median(np.flatnonzero(inside.any(axis=tuple({0, 1, 2} - {a}))))) for a in range(3)]
    at[0] += int(8 / zooms[0])
    rows = []
    for shown in (False, True):
        tiles = []
        for axis in range(3):
            tile = np.repeat(np.take(grey, at[axis], axis)[..., None], 3, -1)
            if shown:
                of = np.take(labels, at[axis], axis)
                tile = np.where(of[..., None] > 0, 0.45 * tile + 0.55 * COLORS[of], tile)
            u, v = (z for a, z in enumerate(zooms) if a != axis)
            tile = Image.fromarray(np.rot90(tile).astype(np.uint8))
            tile = tile.resize((round(tile.width * u * 1.5), round(tile.height * v * 1.5)))
            tiles.append(np.asarray(tile))
        height = max(t.shape[0] for t in tiles)
        tiles = [np.pad(t, ((0, height - t.shape[0]), (0, 0), (0, 0))) for t in tiles]
        rows.append(np.concatenate(tiles, 1))
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.concatenate(rows)).save(path)


def scored(args, name, has_tissue, model_folder):
    path = args.shared / "mri" / f"{name}.nii.gz"
    weights = args.shared / "weights"

    def reference(which, file):
        out = args.out / "references" / f"{name}.{which}.nii.gz"
        return segment(args.amaes, weights / file, path, out)

    ours = segment(args.amaes, args.model, path, model_folder / f"{name}.nii.gz", *LARGEST)
    picture(nib.load(path), ours, args.out / "pictures" / f"{name}.png")
    row = {"brain": dice(ours > 0, reference("mindgrab", MASK) > 0)}
    if not has_tissue:
        return row
    found, cerebrum = tissue(reference)
    found["ours"] = tuple(np.isin(ours, of) & cerebrum for of in (OURS_GREY, OURS_WHITE))
    # How far the published ones agree, and their majority with each: more cannot be asked.
    pairs = [("ours", n) for n in [*TISSUE, MAJORITY]] + AMONG + VOTED
    for of, i in (("grey", 0), ("white", 1)):
        for a, b in pairs:
            row[f"{of}: {a}, {b}"] = dice(found[a][i], found[b][i])
        row[f"{of}: volume"] = float(found["ours"][i].sum() / found[MAJORITY][i].sum())
    return row


def variant(args, option, names, wanted_folder):
    """Size and labels of the weights at another precision, beside those of float32."""
    path = args.out / f"weights{option}.amaes"
    subprocess.run([str(args.amaes), "import", str(args.model), "-o", str(path), option], check=True)
    differ, dices = [], []
    for name in names:
        wanted = np.asarray(nib.load(wanted_folder / f"{name}.nii.gz").dataobj)
        out = args.out / "labels" / digest(path)[:12] / f"{name}.nii.gz"
        found = segment(args.amaes, path, args.shared / "mri" / f"{name}.nii.gz", out, *LARGEST)
        differ.append(float((found != wanted).mean()))
        labels = np.unique(wanted)[1:]
        dices.append(float(np.mean([dice(found == label, wanted == label) for label in labels])))
    return {"bytes": path.stat().st_size, "differ": max(differ), "dice": min(dices)}


def variants_table(sizes, full):
    lines = [
        "| weights | MB | voxels with another label, at most | Dice to float32, at least |",
        "|---|---|---|---|",
        f"| float32 | {full / 1e6:.2f} | - | - |",
    ]
    for option, of in sizes.items():
        name = {"--half": "float16", "--eight-bit": "8 bits"}[option]
        lines.append(
            f"| {name} | {of['bytes'] / 1e6:.2f} | {100 * of['differ']:.4f} % | {of['dice']:.4f} |"
        )
    return "\n".join(lines) + "\n"


def table(rows):
    def number(row, key):
        return f"{row[key]:.3f}" if key in row else "-"

    others = [*TISSUE, MAJORITY]
    lines = [
        "Dice; grey and white matter of the cerebrum, of T1w images.",
        "",
        "| image | what | brain, mindgrab | "
        + " | ".join(f"grey, {n}" for n in others)
        + " | "
        + " | ".join(f"white, {n}" for n in others)
        + " | grey, published ones | white, published ones"
        + " | grey, they and majority | white, they and majority | grey, volume | white, volume |",
        "|---|---|" + "---|" * (7 + 2 * len(others)),
    ]
    for name, row in rows.items():
        cells = [number(row, "brain")]
        for tissue in ("grey", "white"):
            cells += [number(row, f"{tissue}: ours, {n}") for n in others]
        for pairs in (AMONG, VOTED):
            for tissue in ("grey", "white"):
                keys = [f"{tissue}: {a}, {b}" for a, b in pairs]
                scores = [row[k] for k in keys if k in row]
                cells.append(f"{min(scores):.3f} to {max(scores):.3f}" if scores else "-")
        cells += [number(row, f"{tissue}: volume") for tissue in ("grey", "white")]
        lines.append(f"| {name} | {IMAGES[name][0]} | " + " | ".join(cells) + " |")
    lines += [
        "",
        "`majority`: two of the three. Then: how far the published ones agree with one another, and with "
        "their majority; our volume over the majority's.",
        "",
    ]
    return "\n".join(lines)


def missed(rows):
    """What is below the wanted values; of tissue, against the published network that is nearest."""
    for name, row in rows.items():
        for what, least in WANTED.items():
            keys = [what, *(f"{what}: ours, {n}" for n in TISSUE)]
            of = [row[k] for k in keys if k in row]
            if of and not max(of) >= least:
                yield f"{name}: {what} {max(of):.3f}, wanted {least}"


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--amaes", type=Path, default=Path("target/release/amaes"))
    parser.add_argument("--out", type=Path, default=Path("target/brain-tissue/score"))
    parser.add_argument("--only", nargs="*", choices=IMAGES, help="some of the images")
    parser.add_argument("--variants", action="store_true", help="float16 and 8 bits as well")
    args = parser.parse_args()
    model = digest(args.model)
    folder = args.out / "labels" / model[:12]
    rows = {}
    for name, (_, has_tissue) in IMAGES.items():
        if args.only and name not in args.only:
            continue
        rows[name] = scored(args, name, has_tissue, folder)
        print(name, " ".join(f"{k} {v:.3f};" for k, v in rows[name].items()), flush=True)
    sizes = {}
    for option in ("--half", "--eight-bit") if args.variants else ():
        sizes[option] = variant(args, option, rows, folder)
    results = {"model": model, "images": rows, "variants": sizes}
    (args.out / "results.json").write_text(json.dumps(results, indent=2) + "\n")
    text = table(rows)
    if sizes:
        text += "\n" + variants_table(sizes, args.model.stat().st_size)
    (args.out / "results.md").write_text(text)
    print("\n" + text)
    for line in missed(rows):
        print("below:", line)


main()
