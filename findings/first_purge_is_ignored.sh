#!/usr/bin/env bash
# Guess: a training that is resumed tells TensorBoard from which step on earlier events are void (the
# session start event that SummaryWriter(purge_step=...) writes), and every reader obeys.
#
# What happens (tensorboard 2.21.0): the first such event of a run has no effect in the reader of
# TensorBoard's Python server, which takes it for the start of the first session, however many events
# came before. A run resumed once shows each of the repeated steps twice; only from the second resume
# on are they taken out. The older reader, EventAccumulator in event_accumulator, warns and purges.
#
# Why it matters: curves of a resumed run double back, and the same files give other points in the
# Python server than in scripts that read them.
#
# Source: docstring of _CheckForRestartAndMaybePurge, plugin_event_accumulator.py, TensorBoard.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet 'tensorboard==2.21.0' 'setuptools==80.9.0'
"$folder/env/bin/python" - "$folder" <<'PYTHON'
import logging
import sys
from pathlib import Path

import tensorboard
from tensorboard.backend.event_processing import event_accumulator, plugin_event_accumulator
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.event_file_writer import EventFileWriter

logging.disable()
READERS = {
    "Python server": lambda run: plugin_event_accumulator.EventAccumulator(run).Reload().Tensors,
    "older reader": lambda run: event_accumulator.EventAccumulator(run).Reload().Scalars,
}


def train(run, suffix, steps, resumed):
    writer = EventFileWriter(run, filename_suffix=suffix)
    if resumed:
        start = SessionLog(status=SessionLog.START)
        writer.add_event(Event(step=steps[0], session_log=start))
    for step in steps:
        summary = Summary(value=[Summary.Value(tag="loss", simple_value=1.0)])
        writer.add_event(Event(step=step, summary=summary))
    writer.close()


run = str(Path(sys.argv[1]) / "run")
print("tensorboard", tensorboard.__version__)
seen = []
train(run, ".1", range(6), resumed=False)
for number, first in enumerate((3, 4)):
    train(run, f".{number + 2}", range(first, 8), resumed=True)
    seen.append({})
    for name, read in READERS.items():
        seen[-1][name] = [event.step for event in read(run)("loss")]
        print(f"resumed {number + 1} times, {name}: {seen[-1][name]}")
assert seen[0]["Python server"] == [0, 1, 2, 3, 4, 5, 3, 4, 5, 6, 7], "this has changed"
assert seen[0]["older reader"] == list(range(8)), "this has changed"
PYTHON
