"""Kills of tiny runs, by a process that forks them; started by test_kills.py.

Each child begins or resumes the run in the folder and is killed at one of the system calls that
write (in a write half of it is done), or after a random time; until it comes to its end. What the
folder then holds is compared with what an uninterrupted run left.
"""

import json
import os
import random
import signal
import sys
import traceback
from dataclasses import replace
from pathlib import Path

import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from spectrain.probes.records.codec import encode
from spectrain.training.config import ProbeConfig
from spectrain.training.run import run
from spectrain.training.systems import SoftmaxMixtureConfig
from spectrain.views.sinks.tensorboard import TensorBoardSink

CONFIG = SoftmaxMixtureConfig(
    dimension=10,
    time=0.3,
    epochs=3,
    probe=ProbeConfig(eigenvalues=1, smallest=1, density=False),
)
CALLS = ("write", "fsync", "replace", "link", "unlink", "mkdir")


def die():
    os.kill(os.getpid(), signal.SIGKILL)


class Counted:
    """A system call that kills the process at the ``last`` one of all that are counted."""

    made = 0

    def __init__(self, name, last):
        self.name, self.call, self.last = name, getattr(os, name), last

    def __call__(self, *arguments, **options):
        Counted.made += 1
        if Counted.made == self.last:
            if self.name == "write":
                self.call(arguments[0], bytes(arguments[1])[: len(arguments[1]) // 2])
            elif random.random() < 0.5:  # before or behind it
                self.call(*arguments, **options)
            die()
        return self.call(*arguments, **options)


def sink(path, first_step):
    return TensorBoardSink(path, first_step, figures_every=0)


def child(folder, last, seconds, counts):
    """Status of a process that trains in the folder: 0 at its end, -9 or -14 if it was killed."""
    pid = os.fork()
    if pid == 0:
        try:
            for name in CALLS:
                setattr(os, name, Counted(name, last))
            if seconds:
                signal.setitimer(signal.ITIMER_REAL, seconds)
            run(CONFIG, folder, resume=folder.exists(), sinks=[sink])
            counts.write_text(str(Counted.made))
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(3)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def held(folder):
    """Records, weights and steps of events, in an exact form."""
    result = run(CONFIG, folder, resume=True)
    records = [encode(replace(record, seconds={})) for record in result.records]
    parts = torch.load(folder / "checkpoint.pt", weights_only=True)["parts"]
    weights = {name: value.tolist() for name, value in parts["model"].items()}
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    tags = events.Tags()["scalars"]
    steps = {tag: [event.step for event in events.Scalars(tag)] for tag in tags}
    files = {path.name for path in folder.iterdir() if not path.name.startswith("events.")}
    steps = {tag: some for tag, some in steps.items() if not tag.startswith("seconds/")}
    return json.dumps([records, weights, steps], sort_keys=True, default=str), sorted(files)


def main(folder, kills, seed):
    torch.set_num_threads(1)
    random.seed(seed)
    folder = Path(folder)
    counts = folder / "counts"
    began = os.times().elapsed
    assert child(folder / "whole", 0, 0.0, counts) == 0
    took, calls = os.times().elapsed - began, int(counts.read_text())
    expected = held(folder / "whole")
    killed, runs, wrong, by = 0, 0, [], {"call": 0, "time": 0, "resumed": 0}
    while killed < kills:
        one, status = folder / f"run-{runs}", -9
        while status != 0:
            resumed = one.exists()
            timed = random.random() < 0.3
            last = 0 if timed else random.randrange(1, calls // 3)
            status = child(one, last, random.uniform(0, took / 2) if timed else 0.0, counts)
            if status in (-9, -14):
                killed += 1
                by["time" if timed else "call"] += 1
                by["resumed"] += resumed
            elif status != 0:
                wrong.append(f"{one.name}: a process ended with {status}")
                break
        if held(one) != expected:
            wrong.append(f"{one.name}: it is not the uninterrupted run")
        runs += 1
    print(json.dumps({"killed": killed, "runs": runs, "wrong": wrong, "calls": calls, **by}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
