"""Start of the command line: the environment first, since NumPy and torch read it once, at import.

Threads that wait for one another spin but briefly: spinning on, the default, makes a probing many
times as slow once another process wants a core. NumPy runs on one thread: the products of the
theory are small, and on two threads OpenBLAS takes several times as long for them. Torch, which
measures, keeps its threads.
"""

import io
import os
import sys

__all__ = ["main"]

os.environ.setdefault("GOMP_SPINCOUNT", "20000")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def main() -> int:
    """Run the command line of this process and return its exit status."""
    # A name, or a letter, that the terminal cannot write is no reason to stop.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    from .cli import main as run

    return run()


if __name__ == "__main__":
    sys.exit(main())
