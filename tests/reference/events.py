"""Event records as TensorBoard's own writer frames them, for `tests/tests/dashboard.rs`.

    python events.py > events.json     the records, as hexadecimal text
    python events.py FOLDER                 what TensorBoard reads in a run's folder

Needs the package `tensorboard`, not TensorFlow.
"""

import io
import json
import sys

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter


class Kept(io.BytesIO):
    def close(self):
        pass


def framed(event):
    out = Kept()
    RecordWriter(out).write(event.SerializeToString(deterministic=True))
    return out.getvalue().hex()


def records():
    values = [("loss/train", 0.0625), ("optimiser/learning_rate", 1e-4), ("speed", 1234567.875)]
    scalars = [Summary.Value(tag=tag, simple_value=value) for tag, value in values]
    png = bytes(range(256)) * 3
    image = Summary.Image(height=40, width=300, colorspace=3, encoded_image_string=png)
    picture = Summary.Value(tag="reconstruction", image=image)
    time = 1700000000.25
    return {
        "scalars": framed(Event(wall_time=time, step=277_000, summary=Summary(value=scalars))),
        "image": framed(Event(wall_time=time, step=5, summary=Summary(value=[picture]))),
        "version_length": framed(Event(wall_time=time, file_version="brain.Event:2"))[:24],
        "session": Event(session_log=SessionLog(status=SessionLog.START)).SerializeToString().hex(),
    }


def read(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(folder, size_guidance={"scalars": 0, "images": 0})
    events.Reload()
    tags = events.Tags()
    return {
        "scalars": {t: [(e.step, e.value) for e in events.Scalars(t)] for t in tags["scalars"]},
        "images": {
            t: [(e.step, e.width, e.height, len(e.encoded_image_string)) for e in events.Images(t)]
            for t in tags["images"]
        },
    }


if __name__ == "__main__":
    json.dump(read(sys.argv[1]) if len(sys.argv) > 1 else records(), sys.stdout, indent=1)
    print()
