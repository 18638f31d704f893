"""Draw the pictures of docs/gallery.md as its commands do, in a palette of few colours.

Usage: python scripts/gallery.py [PICTURE ...]

Without names all are drawn. Runs are kept in runs/gallery, and those that are there are taken.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

import spectrain
from spectrain.figures.catalogue import drawings_of_run, drawings_without_run
from spectrain.figures.drawing import draw_figures
from spectrain.training.run import run
from spectrain.training.systems import SYSTEMS

OUTPUT = Path("docs/images/gallery")
RUNS = Path("runs/gallery")
COLOURS = 128

# Figures of the default run of a system, and those that need no run.
OF_RUNS = {
    "dynamic-transitions": "softmax-mixture",
    "overlaps": "softmax-mixture",
    "lowest-outlier": "spiked-matrix-tensor",
    "reconstruction": "low-rank",
    "phase-retrieval-lowest": "phase-retrieval",
    "flatness-profiles": "flat-minima",
}
WITHOUT_RUN = (
    "static-transition",
    "phase-diagram",
    "linear-settings",
    "linear-double-descent",
    "linear-stability",
    "linear-phases",
    "spiked-overlaps",
    "spiked-ageing",
    "low-rank-success",
    "phase-retrieval-recovery",
    "flat-minima-errors",
)


def main(names: Sequence[str]) -> None:
    known = (*OF_RUNS, *WITHOUT_RUN)
    unknown = [name for name in names if name not in known]
    if unknown:
        raise SystemExit(f"PICTURE: expected some of {', '.join(known)}, got {unknown}")
    for name in names or known:
        start = time.process_time()
        path = draw(name)
        print(f"{path}: {time.process_time() - start:.0f} s of processor time", flush=True)


def draw(name: str) -> Path:
    """One picture, where the page looks for it."""
    system = OF_RUNS.get(name)
    if system is None:
        drawings = drawings_without_run(only=[name])
    else:
        drawings = drawings_of_run(spectrain.load(trained(system)), only=[name])
    with tempfile.TemporaryDirectory() as folder:
        (drawn,) = draw_figures(Path(folder), drawings)
        image = Image.open(drawn).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    OUTPUT.mkdir(parents=True, exist_ok=True)
    path = OUTPUT / f"{name}.png"
    image.save(path, optimize=True)
    return path


def trained(system: str) -> Path:
    """The folder of the system's default run."""
    folder = RUNS / system
    if not folder.is_dir():
        run(SYSTEMS[system](), folder)
    return folder


if __name__ == "__main__":
    main(sys.argv[1:])
