"""Times nibabel for `tests/benches/volumes.rs`: a path a line in, milliseconds a line out."""

import sys
import time

import nibabel
import numpy

for line in sys.stdin:
    start = time.perf_counter()
    nibabel.load(line.rstrip("\n")).get_fdata(dtype=numpy.float32)
    print((time.perf_counter() - start) * 1e3, flush=True)
