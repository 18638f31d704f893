"""Start of the command line: the environment first, since NumPy and torch read it once, at import.

Threads that wait for one another spin but briefly: spinning on, the default, makes a probing many
times as slow once another process wants a core. NumPy runs on one thread: the products of the
theory are small, and on two threads OpenBLAS takes several times as long for them. Torch, which
measures, keeps its threads.
"""

import io
import os
import sys
import warnings

__all__ = ["main"]

os.environ.setdefault("GOMP_SPINCOUNT", "20000")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def main() -> int:
    """Run the command line of this process and return its exit status."""
    # A name, or a letter, that the terminal cannot write is no reason to stop.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    warnings.formatwarning = _told
    from .cli import main as run

    return run()


def _told(message: object, *_: object, **__: object) -> str:
    """A warning as it is told: what it says, not where in the program."""
    return f"spectrain: warning: {message}\n"


if __name__ == "__main__":
    sys.exit(main())
