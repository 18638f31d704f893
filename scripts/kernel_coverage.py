"""Print how often the stated errors of a density hold the truth, a row for each kernel and threads.

Usage: python scripts/kernel_coverage.py

Each row is a run of tests/probes/krylov/test_density_coverage.py in a process whose PyTorch, MKL
and OpenBLAS are told by their environment which instructions to use: 200 draws of each spectrum,
and the least share of intervals that hold the truth over all spectra and places, where 68 and 95
of 100 are claimed. A kernel beyond what the processor has is the best that it has.
"""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from xml.etree import ElementTree

_TESTS = Path(__file__).parents[1] / "tests/probes/krylov/test_density_coverage.py"
_ATEN = ("default", "avx2", "avx512")
_BLAS = {
    "as found": {},
    "oldest": {"MKL_CBWR": "COMPATIBLE", "OPENBLAS_CORETYPE": "Nehalem"},
    "AVX2": {"MKL_CBWR": "AVX2", "OPENBLAS_CORETYPE": "Haswell"},
}
_LEVELS = (0.68, 0.95)


def _covered(settings: dict[str, str]) -> tuple[str, dict[float, float]]:
    """Pytest's closing line, and the least share of intervals that hold, for each level."""
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder) / "results.xml"
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-m",
            "slow or not slow",
            "-k",
            "cumulative",
        ]
        command += [
            str(_TESTS),
            "-p",
            "no:cacheprovider",
            "-o",
            "junit_family=xunit1",
            f"--junit-xml={results}",
        ]
        run = subprocess.run(
            command, env=os.environ | settings, capture_output=True, text=True, check=False
        )
        if run.returncode not in (0, 1):
            sys.exit(f"{' '.join(command)}: {run.stdout}{run.stderr}")
        told = ElementTree.parse(results).iter("property")
        shares = [(one.attrib["name"], float(one.attrib["value"])) for one in told]
    least = {
        level: min(share for name, share in shares if name == f"covered at {level}")
        for level in _LEVELS
    }
    return run.stdout.splitlines()[-1], least


def main() -> None:
    """Run every setting and print its row."""
    print(f"{'ATen':8} {'BLAS':9} {'threads':>7}", *(f"{level:>6}" for level in _LEVELS))
    for aten, blas, threads in itertools.product(_ATEN, _BLAS, ("1", "2")):
        settings = {f"{library}_NUM_THREADS": threads for library in ("OMP", "MKL", "OPENBLAS")}
        settings |= {"ATEN_CPU_CAPABILITY": aten, **_BLAS[blas]}
        closing, least = _covered(settings)
        shares = (f"{least[level]:6.3f}" for level in _LEVELS)
        print(f"{aten:8} {blas:9} {threads:>7}", *shares, f" {closing}", flush=True)


if __name__ == "__main__":
    main()
