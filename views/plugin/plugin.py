"""The plugin that TensorBoard loads: static modules of the tab, and three routes of data."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, cast

from tensorboard.backend import http_util
from tensorboard.plugins import base_plugin
from werkzeug.wrappers import Request, Response

from .hosts import HOSTS, is_known
from .messages import moment, text
from .run_folders import RunFolders, log_folders
from .run_index import RunIndex, misshapen

__all__ = ["SpectrumPlugin"]

_STATIC = Path(__file__).parent / "static"
_TYPES = {".js": "application/javascript", ".css": "text/css"}
_METHODS = ("GET", "HEAD")

Application = Callable[..., Iterable[bytes]]
Answer = Callable[[Request], Response]


class SpectrumPlugin(base_plugin.TBPlugin):  # type: ignore[misc]
    """The tab "Spectrum": a view of the data files below the log folder.

    Nothing is read from event files, so TensorBoard's sampling of them does not matter here.

    Routes, all of them JSON and read-only, for requests to a host that `hosts.is_known`:
        ``/runs``: the names of the runs.
        ``/history?run&matrix&block&first&generation``: eigenvalues of one block along training.
        ``/record?run&step&matrix&block``: all there is of one block at one step.

    Args:
        context: TensorBoard's; its log folders are used.
    """

    plugin_name = "spectrain"

    def __init__(self, context: base_plugin.TBContext) -> None:
        spec = getattr(context.flags, "logdir_spec", "") or ""
        self._folders = RunFolders(log_folders(context.logdir or "", spec))
        self._bound = getattr(context.flags, "host", None)
        self._bind_all = bool(getattr(context.flags, "bind_all", False))
        self._indices: dict[Path, RunIndex] = {}
        self._lock = threading.Lock()

    def get_plugin_apps(self) -> dict[str, Application]:
        """Each route with what answers it."""
        apps: dict[str, Application] = {
            f"/{path.name}": self._guarded(_static(path))
            for path in _STATIC.iterdir()
            if path.suffix in _TYPES
        }
        data = {"/runs": self._runs, "/history": self._history, "/record": self._record}
        return apps | {route: self._guarded(_json(answer)) for route, answer in data.items()}

    def _guarded(self, answer: Answer) -> Application:
        """An application for requests that only read, and ask for a known host."""

        @Request.application
        def application(request: Request) -> Response:
            if request.method not in _METHODS:
                problem = f"method: expected {' or '.join(_METHODS)}, got {request.method}"
                response = _respond(request, text({"problem": problem}), "application/json", 405)
                response.headers["Allow"] = ", ".join(_METHODS)
                return response
            if not is_known(request.host, self._bound, self._bind_all):
                problem = (
                    f"host: expected that of the server, localhost or one of {HOSTS}, "
                    f"got {request.host!r}"
                )
                return _respond(request, text({"problem": problem}), "application/json", 403)
            return answer(request)

        return application

    def is_active(self) -> bool:
        """Whether there is a data file."""
        return any(not problem for _, problem in self._folders.names())

    def frontend_metadata(self) -> base_plugin.FrontendMetadata:
        """Name of the tab, and the module that fills it."""
        return base_plugin.FrontendMetadata(es_module_path="/index.js", tab_name="Spectrum")

    def _runs(self, _: Request) -> str:
        if not self._folders.roots:
            problem = "TensorBoard was started without --logdir, whose data files are shown here."
            return text({"runs": [], "problem": problem})
        runs = [{"name": name, "problem": problem} for name, problem in self._folders.names()]
        problem = "" if runs else "There is no run in the log folder yet."
        return text({"runs": runs, "problem": problem})

    def _history(self, request: Request) -> str:
        return self._index(request).history(
            request.args.get("matrix", ""),
            request.args.get("block", ""),
            _integer(request, "first"),
            _integer(request, "generation"),
        )

    def _record(self, request: Request) -> str:
        index, step = self._index(request), _integer(request, "step")
        matrix, block = request.args.get("matrix", ""), request.args.get("block", "")
        try:
            record = index.record(step, matrix, block)
            with misshapen():
                return text(moment(record, matrix, block))
        except (LookupError, OSError) as error:
            return text({"problem": str(error)})
        except ValueError as error:
            return text({"problem": f"the record of step {step} cannot be read: {error}"})

    def _index(self, request: Request) -> RunIndex:
        path = self._folders.records(request.args.get("run", ""))
        if path.exists() and not path.is_file():
            raise ValueError(f"run: expected one with a file {path.name}, got something else there")
        with self._lock:
            return self._indices.setdefault(path, RunIndex(path))


def _integer(request: Request, name: str) -> int:
    value = request.args.get(name, "0")
    if not value.isdecimal() or len(value) > 18:
        raise ValueError(f"{name}: expected a number of digits, got {value!r}")
    return int(value)


def _json(answer: Callable[[Request], str]) -> Answer:
    """Answers requests with JSON, and those it refuses with the reason."""

    def application(request: Request) -> Response:
        try:
            content, code = answer(request), 200
        except ValueError as error:
            content, code = text({"problem": str(error)}), 400
        return _respond(request, content, "application/json", code)

    return application


def _static(path: Path) -> Answer:
    def application(request: Request) -> Response:
        return _respond(request, path.read_text("utf-8"), _TYPES[path.suffix], 200)

    return application


def _respond(request: Request, content: str, kind: str, code: int) -> Response:
    response: Any = http_util.Respond(request, content, kind, code=code)
    return cast(Response, response)
