"""Modules under the names they had before they moved: imported from there with a warning."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from warnings import warn

__all__ = ["MovedModules"]

_ROOMS = {
    ("answers", "answers.mixture"): "document_text head_specification predictions specification",
    ("models", "models.heads"): "function_head head logistic_head multi_index_head softmax_head "
    "two_layer_head two_layer_link derivatives losses activations slope",
    ("theory", "models"): "threads",
    ("theory", "theory.bulk"): "matrix_equation complex_equation outlier_matrix resolvent exterior "
    "gaps continuation descent real_axis bulk_profile interior outliers outlier_noise law_spectrum "
    "moments detection",
    ("theory", "theory.mixture"): "quadrature factors performance refinement located_outliers "
    "bulk_edges ordered_eigenvalues jacobi effective_spectrum mixture_theory outlier_bands drift "
    "solution linear_noise fluctuations dynamics fixed_points statistics sgd",
    ("theory", "theory.scans"): "block_path crossings transition_points phase_diagram",
    ("probes", "probes.curvature"): "operator derived folding scipy_view module_operator "
    "module_curvature head_curvature pullback shared_products block losses batches observe "
    "loss_gradient distributed",
    ("probes", "probes.krylov"): "search eigenpairs beyond near certificate density "
    "lanczos_quadrature law_jacobi trace frame_mean alignment",
    ("probes", "probes.records"): "record track codec record_file record_table append atomic "
    "environment sink sweep outliers distance",
    ("views", "views.sinks"): "tensorboard event_file crc32c histograms layout hyper_parameters "
    "scalars console wandb",
    ("views", "views.figures"): "style density_panel eigenvalue_paths animation run_figures",
}
_NEW = {
    f"spectrain.{old}.{name}": f"spectrain.{new}.{name}"
    for (old, new), names in _ROOMS.items()
    for name in names.split()
}


class MovedModules(MetaPathFinder):
    """Finds what nobody else finds: an old name, and with it the module at its new place.

    The module is the same object under both names. Each old name warns once, with a
    DeprecationWarning that says the new one.
    """

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The way to a moved module; None for any other."""
        if name not in _NEW:
            return None
        warn(f"{name} has moved to {_NEW[name]}", DeprecationWarning, stacklevel=2)
        return ModuleSpec(name, _Moved())


class _Moved(Loader):
    def exec_module(self, module: ModuleType) -> None:
        # What stands here afterwards is what the import statement gives.
        sys.modules[module.__name__] = import_module(_NEW[module.__name__])
