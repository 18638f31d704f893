"""Serve the board from this process, say where it is, and open it."""

from __future__ import annotations

import os
import sys
import webbrowser
from collections.abc import Sequence
from typing import Any

from tensorboard import program

from .board import can_open, tab_address

__all__ = ["serve"]


def serve(arguments: list[str], runs: Sequence[str], is_opened: bool) -> int:
    """Serve until the process is stopped.

    Args:
        arguments: of TensorBoard, see `board.board_arguments`.
        runs: names of the runs that the tab shows first.
        is_opened: whether to open a browser, where there is one.

    Returns:
        The exit status.
    """

    def listening(application: Any, flags: Any) -> Any:
        """TensorBoard's server: it listens already, but answers only once this is over."""
        server = program.create_port_scanning_werkzeug_server(application, flags)
        address = tab_address(server.get_url(), runs)
        print(f"Spectrum: {address}", flush=True)
        if is_opened and can_open(os.environ, sys.platform, sys.stdout.isatty()):
            webbrowser.open(address)
        return server

    board = program.TensorBoard(server_class=listening)
    board.configure(["spectrain board", *arguments])
    return 1 if board.main() else 0
