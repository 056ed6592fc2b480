"""Random patches by zarr-python and by memory-mapped .npy, for tests/benches/loader.rs.

The first line of standard input is JSON: the store, the folder of .npy files, the volumes' names,
the patch (x, y, z) and the patches as [volume, x, y, z]. Each following line is `cold`, which
drops the files from the page cache, or `READER PROCESSES COUNT`; the answer is seconds and the sum
of all values.
"""

import json
import multiprocessing
import os
import pathlib
import sys
import time

import numpy
import zarr

JOB = json.loads(sys.stdin.readline())
SIZE = JOB["patch"][::-1]
OPEN = {}


def volume(reader, name):
    """The array of a volume, opened once, and what makes values of its numbers."""
    if (reader, name) not in OPEN:
        if reader == "npy":
            path = pathlib.Path(JOB["npy"]) / f"{name}.npy"
            OPEN[reader, name] = numpy.load(path, mmap_mode="r"), 1, None
        else:
            group = zarr.open_group(JOB["store"], mode="r", path=f"volumes/{name}")
            array = group["0"]
            scale = numpy.float32(array.attrs["scale_factor"])
            OPEN[reader, name] = array, scale, numpy.float32(array.attrs["add_offset"])
    return OPEN[reader, name]


def patch(reader, name, start):
    """A patch as float32, the volume's minimum outside (0 after normalisation)."""
    array, scale, offset = volume(reader, name)
    begin = [max(s, 0) for s in start]
    end = [min(s + n, m) for s, n, m in zip(start, SIZE, array.shape)]
    part = array[tuple(slice(b, e) for b, e in zip(begin, end))]
    if offset is not None:
        part = part * scale + offset
    if list(part.shape) == SIZE:
        return numpy.array(part, dtype=numpy.float32)
    out = numpy.zeros(SIZE, numpy.float32)
    out[tuple(slice(b - s, e - s) for b, s, e in zip(begin, start, end))] = part
    return out


def read(task):
    reader, patches, check = task
    total = 0.0
    for number, *start in patches:
        values = patch(reader, JOB["ids"][number], start[::-1])
        total += float(values.sum(dtype=numpy.float64)) if check else values[0, 0, 0]
    return total


def drop():
    for folder in (JOB["store"], JOB["npy"]):
        for path in pathlib.Path(folder).rglob("*"):
            if path.is_file():
                file = os.open(path, os.O_RDONLY)
                os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
                os.close(file)


def main():
    pools = {n: multiprocessing.get_context("fork").Pool(n) for n in (1, 2)}
    for line in sys.stdin:
        if line.strip() == "cold":
            # A mapping keeps its pages: close them all.
            for n, pool in list(pools.items()):
                pool.terminate()
                pools[n] = multiprocessing.get_context("fork").Pool(n)
            drop()
            print("dropped", flush=True)
            continue
        reader, processes, count, check = line.split()
        processes, patches = int(processes), JOB["patches"][: int(count)]
        tasks = [(reader, patches[i::processes], check == "sum") for i in range(processes)]
        start = time.perf_counter()
        total = sum(pools[processes].map(read, tasks, chunksize=1))
        print(time.perf_counter() - start, total, flush=True)


if __name__ == "__main__":
    main()
