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

__all__ = ["COUNT", "MANY", "ONE", "STEPS", "measure", "train"]

REPEATS = 9
# Folders in that of a run, with its first record alone and with records up to a number, each with
# a step of its own.
ONE, MANY = "one", "many"
COUNT, STEPS = 1000, 10


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
        "many": bytes by which the process grows when it loads 1,000 such records; "tab" and "tab
        held": seconds of processor time and bytes by which it grows until the tab Spectrum has been
        given all that it shows of them.
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
    _lengthen(folder, ONE, 1)
    _lengthen(folder, MANY, COUNT)
    kept: list[object] = [_given(folder / ONE)]  # what is imported late
    start = time.process_time()
    given = peak_memory(lambda: kept.append(_given(folder / MANY)))
    seconds_given = time.process_time() - start
    grown = peak_memory(lambda: kept.append(load(folder / MANY)))
    return {
        "bytes": path.stat().st_size,
        "records": records,
        "load": min(seconds),
        "table": most,
        "table held": held,
        "many": grown,
        "tab": seconds_given,
        "tab held": given,
    }


def _load_seconds(folder: Path) -> float:
    from spectrain import load

    gc.collect()
    start = time.process_time()
    load(folder)
    return time.process_time() - start


def _lengthen(folder: Path, name: str, count: int) -> None:
    """A folder with so many records, those of the run stretched."""
    from spectrain import RecordFile, load

    run = load(folder)
    file = RecordFile(_made(folder / name) / "records.jsonl", run.config)
    for place in range(count):
        record = run.records[place * len(run.records) // count]
        at = {"step": STEPS * place, "epoch": float(place), "time": 0.02 * place}
        file.write(replace(record, **at))
    file.close()


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _given(folder: Path) -> object:
    """What the tab's server keeps of a run, asked as the tab asks it until all is shown."""
    from spectrain.views.plugin.messages import moment, text
    from spectrain.views.plugin.run_index import RunIndex

    index = RunIndex(folder / "records.jsonl")
    first = generation = 0
    matrix = block = ""
    while True:
        answer = index.history(matrix, block, first, generation)
        # The page reads the rest.
        frame = json.loads(answer[: answer.index(',"records":[')] + "}")
        first, generation = frame["first"] + answer.count('{"heading":'), frame["generation"]
        matrix, block = frame["matrix"], frame["block"]
        if frame["read"] >= frame["size"]:
            break
    text(moment(index.record(STEPS * (first - 1), matrix, block), matrix, block))
    return index


if __name__ == "__main__":
    command, place, *rest = sys.argv[1:]
    if command == "train":
        train(Path(place), rest[0], int(rest[1]))
    else:
        print(json.dumps(measure(Path(place))))
