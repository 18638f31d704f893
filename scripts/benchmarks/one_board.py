"""What writing a run to TensorBoard takes with one build; run as a program of its own.

It uses what every build has.
"""

from __future__ import annotations

import json
import pickle
import sys
import tempfile
import time
from pathlib import Path

__all__ = ["measure"]

_RECORDS, _PICTURES = 12, 2  # repeats


def measure(folder: Path) -> dict[str, float]:
    """Processor seconds of a record, the mean over a run's.

    Returns:
        "record": without pictures; "pictures": what pictures at every record add; the least of
        several each.
    """
    plain = min(_seconds(folder, 0) for _ in range(_RECORDS))
    with_pictures = min(_seconds(folder, 1) for _ in range(_PICTURES))
    return {"record": plain, "pictures": with_pictures - plain}


def _seconds(folder: Path, figures_every: int) -> float:
    from spectrain import TensorBoardSink, load

    # Records that are read make some of their fields later; those of a probing have them all.
    records = pickle.loads(pickle.dumps(list(load(folder).records)))
    with tempfile.TemporaryDirectory() as place:
        sink = TensorBoardSink(place, figures_every=figures_every, dimension=1000)
        start = time.process_time()
        for record in records:
            sink.write(record)
        took = time.process_time() - start
        sink.close()
    return took / len(records)


if __name__ == "__main__":
    print(json.dumps(measure(Path(sys.argv[1]))))
