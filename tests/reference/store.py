"""Stores against zarr-python 3.

`python tests/reference/store.py write` makes tests/data/store, arrays that tests/tests/store.rs
reads. `python tests/reference/store.py read STORE` prints what zarr-python makes of a store: a line
of JSON a volume.
"""

import json
import pathlib
import shutil
import sys

import numpy
import zarr
from zarr.codecs import BytesCodec, Crc32cCodec, GzipCodec, ShardingCodec, ZstdCodec

HERE = pathlib.Path(__file__).parent.parent / "data" / "store"
SHAPE = (11, 13, 17)


def codes():
    """uint16 numbers that the test computes too; the last corner is all zero."""
    z, y, x = numpy.indices(SHAPE)
    v = (x * 73 + y * 179 + z * 283 + x * y * 7 + y * z * 11 + x * z * 5) % 997
    v[(z >= 6) & (y >= 7) & (x >= 9)] = 0
    return v.astype(numpy.uint16)


def write():
    shutil.rmtree(HERE, ignore_errors=True)
    for name, values, codec in [
        ("uint16", codes(), ZstdCodec(level=3)),
        ("float16", (codes() / 997).astype(numpy.float16), GzipCodec(level=6)),
    ]:
        sharding = ShardingCodec(
            chunk_shape=(6, 7, 9),
            codecs=[BytesCodec(), codec, Crc32cCodec()],
            index_codecs=[BytesCodec(), Crc32cCodec()],
        )
        array = zarr.create(
            store=HERE / name,
            shape=SHAPE,
            chunks=(12, 14, 18),
            dtype=values.dtype,
            fill_value=0,
            codecs=[sharding],
            dimension_names=["z", "y", "x"],
            zarr_format=3,
        )
        array[:] = values


def read(store):
    volumes = zarr.open_group(store, mode="r")["volumes"]
    for name in sorted(volumes.group_keys()):
        group = volumes[name]
        scales = group.attrs["ome"]["multiscales"][0]
        data = scales["datasets"][0]
        array = group[data["path"]]
        stored = array[:]
        values = stored.astype(numpy.float64)
        values = values * array.attrs.get("scale_factor", 1) + array.attrs.get("add_offset", 0)
        facts = {
            "id": name,
            "version": group.attrs["ome"]["version"],
            "axes": [axis["name"] for axis in scales["axes"]],
            "units": [axis["unit"] for axis in scales["axes"]],
            "scale": data["coordinateTransformations"][0]["scale"],
            "shape": array.shape,
            "chunks": array.chunks,
            "shards": array.shards,
            "dtype": str(array.dtype),
            "dimension_names": array.metadata.dimension_names,
            "sum": values.sum(),
            "values": values.ravel()[:: max(1, values.size // 50)].tolist(),
        }
        print(json.dumps(facts), flush=True)


if __name__ == "__main__":
    write() if sys.argv[1] == "write" else read(sys.argv[2])
