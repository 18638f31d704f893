"""Draw the README's picture from the records of the demo's two-layer run.

Usage: python scripts/readme_picture.py RUN [OUTPUT]
"""

from __future__ import annotations

import sys
from pathlib import Path

import spectrain
from spectrain.views.figures import dynamic_transitions
from spectrain.views.figures.style import save


def main(run: str, output: str = "docs/images/xor-transitions.png") -> None:
    figure = dynamic_transitions(spectrain.load(run).records, names=("unit 0",))
    path, vector = save(figure, Path(output).with_suffix(""))
    vector.unlink()
    print(path)


if __name__ == "__main__":
    main(*sys.argv[1:])
