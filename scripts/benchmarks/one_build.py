"""What the record files of one build take; run as a program, in a process of its own.

It uses what every build has.
"""

from __future__ import annotations

import gc
import json
import sys
import time
import tracemalloc
from dataclasses import replace
from pathlib import Path

from .memory import peak_memory

__all__ = ["measure", "train"]

REPEATS = 9
MANY = 1000


def train(folder: Path, system: str, epochs: int) -> None:
    """The full demo's training of a system, or the first epochs of it."""
    from spectrain.demo import FULL
    from spectrain.training.run import run

    (config,) = (each for each in FULL.trainings if each.system == system)
    # The same steps, of which there are fewer.
    run(replace(config, epochs=epochs, time=config.time * epochs / config.epochs), folder)


def measure(folder: Path) -> dict[str, float]:
    """Size of a run's record file, and what reading it takes.

    Returns:
        "bytes" of the file, and "records" in it; "load": seconds of processor time, the least of
        several; "table" and "table held": bytes of making the table, at most and in the end;
        "many": bytes by which the process grows when it loads 1,000 such records.
    """
    from spectrain import load

    path = folder / "records.jsonl"
    records = len(load(folder).records)
    seconds = [_load_seconds(folder) for _ in range(REPEATS)]
    load(folder).table()  # names and other texts that stay
    run = load(folder)
    gc.collect()
    tracemalloc.start()
    table = run.table()
    held, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    del table, run
    many = folder / f"{MANY}.jsonl"
    header, *lines = path.read_bytes().splitlines(keepends=True)
    with many.open("wb") as file:
        file.write(header)
        file.writelines(lines[place % len(lines)] for place in range(MANY))
    del lines
    kept = []
    grown = peak_memory(lambda: kept.append(load(many)))
    many.unlink()
    return {
        "bytes": path.stat().st_size,
        "records": records,
        "load": min(seconds),
        "table": most,
        "table held": held,
        "many": grown,
    }


def _load_seconds(folder: Path) -> float:
    from spectrain import load

    gc.collect()
    start = time.process_time()
    load(folder)
    return time.process_time() - start


if __name__ == "__main__":
    command, place, *rest = sys.argv[1:]
    if command == "train":
        train(Path(place), rest[0], int(rest[1]))
    else:
        print(json.dumps(measure(Path(place))))
