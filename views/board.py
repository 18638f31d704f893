"""How to start TensorBoard so that it shows every step, and the address of what it shows."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

__all__ = ["board_arguments", "board_command", "can_open", "compared_runs", "tab_address"]

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
_RECORDS = "records.jsonl"  # as probes.record_file has it, which takes long to import


def board_arguments(
    logdir: str | Path | Mapping[str, Path], host: str = "localhost", port: int = 6006
) -> list[str]:
    """Arguments of TensorBoard, without the program's name.

    Args:
        logdir: a run folder, or a folder of run folders; or several run folders under their names.
        host: to listen on.
        port: to listen on; 0 lets the system choose.
    """
    samples = ",".join(f"{plugin}={count}" for plugin, count in _SAMPLES.items())
    if isinstance(logdir, Mapping):
        named = ",".join(f"{name}:{path}" for name, path in logdir.items())
        source = f"--logdir_spec={named}"
    else:
        source = f"--logdir={logdir}"
    return [source, f"--host={host}", f"--port={port}", f"--samples_per_plugin={samples}"]


def board_command(
    logdir: str | Path | Mapping[str, Path], host: str = "localhost", port: int = 6006
) -> list[str]:
    """The whole command line, run by the interpreter that runs this."""
    return [sys.executable, "-m", "tensorboard.main", *board_arguments(logdir, host, port)]


def compared_runs(folders: Sequence[str | Path]) -> dict[str, Path]:
    """Run folders that may lie anywhere, each under its path from the folder they have in common.

    Raises:
        ValueError: if there are less than two, one of them twice, one that is no run folder, or one
            whose path TensorBoard would take for several.
    """
    if len(folders) < 2:
        raise ValueError(f"compare: expected two run folders or more, got {len(folders)}")
    paths = [Path(folder).resolve() for folder in folders]
    for given, path in zip(folders, paths, strict=True):
        if not (path / _RECORDS).is_file():
            raise ValueError(
                f"compare: expected run folders, with a {_RECORDS} in each, got {str(given)!r}"
            )
        if "," in str(path):
            raise ValueError(f"compare: expected paths without commas, got {str(path)!r}")
    if len(set(paths)) < len(paths):
        raise ValueError(f"compare: expected different run folders, got {list(map(str, folders))}")
    common = Path(os.path.commonpath(paths))
    # One run may lie in another.
    parent = common.parent if common in paths else common
    # A colon would end the name.
    runs = {path.relative_to(parent).as_posix().replace(":", "_"): path for path in paths}
    if len(runs) < len(paths):
        raise ValueError(f"compare: expected names without colons, got {list(map(str, folders))}")
    return runs


def tab_address(server: str, runs: Sequence[str] = ()) -> str:
    """Address of the tab Spectrum, with some runs chosen.

    Args:
        server: the address of TensorBoard.
        runs: names of the runs, as the tab lists them; none for the first there is.
    """
    chosen = f"&p.spectrain.runs={quote(json.dumps(list(runs)), safe='')}" if runs else ""
    return f"{server}#spectrain{chosen}"


def can_open(environment: Mapping[str, str], platform: str, is_terminal: bool) -> bool:
    """Whether there is somebody to look, and a display to look at.

    Args:
        environment: variables of the process.
        platform: as `sys.platform` has it.
        is_terminal: whether the command was typed.
    """
    has_display = platform in ("darwin", "win32") or any(
        environment.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY")
    )
    return is_terminal and has_display and not environment.get("CI")
