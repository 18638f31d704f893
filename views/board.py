"""How to start TensorBoard so that it shows every step."""

from __future__ import annotations

import sys
from pathlib import Path

__all__ = ["board_arguments", "board_command"]

# TensorBoard keeps a random sample of the steps of each tag, by default of 10 pictures or texts and
# of 1,000 scalars. Names are those of plugins: figures are images, custom charts read scalars.
_STEPS = 100_000
_PICTURES = 10_000
_SAMPLES = {
    "scalars": _STEPS,
    "text": _STEPS,
    "histograms": _PICTURES,
    "images": _PICTURES,
}


def board_arguments(logdir: str | Path, host: str = "localhost", port: int = 6006) -> list[str]:
    """Arguments of TensorBoard, without the program's name.

    Args:
        logdir: a run folder, or a folder of run folders.
        host: to listen on.
        port: to listen on; 0 lets the system choose.
    """
    samples = ",".join(f"{plugin}={count}" for plugin, count in _SAMPLES.items())
    return [
        f"--logdir={logdir}",
        f"--host={host}",
        f"--port={port}",
        f"--samples_per_plugin={samples}",
    ]


def board_command(logdir: str | Path, host: str = "localhost", port: int = 6006) -> list[str]:
    """The whole command line, run by the interpreter that runs this."""
    return [sys.executable, "-m", "tensorboard.main", *board_arguments(logdir, host, port)]
