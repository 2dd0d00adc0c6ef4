"""Is this the gradient of that function? Needs NumPy alone; any ``f(theta) -> number`` will do.

`checks.run` is the whole of it: point -> sample of f -> your gradient -> method -> numerical slopes
with bounds -> comparison -> diagnosis -> report. In the order of a reading:

differences.py  the formulas            comparison.py  a status for every entry, and why
points.py       the callers' forms      diagnosis.py   what is wrong, where that is certain
slopes.py       f along a line          checks.py      check_grad
sampling.py     what is measured of f   vjp.py         check_vjp
estimates.py    the numerical gradient  report.py      what is said; figures.py draws it
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .checks import assert_grad_allclose, check_grad
    from .differences import (
        TaylorTest,
        central_difference,
        complex_step,
        directional_derivative,
        forward_difference,
        richardson_difference,
        taylor_test,
    )
    from .figures import plot_agreement, plot_heatmap, plot_step_sizes, plot_taylor
    from .report import GradientReport
    from .vjp import check_vjp

__all__ = [
    "GradientReport",
    "TaylorTest",
    "assert_grad_allclose",
    "central_difference",
    "check_grad",
    "check_vjp",
    "complex_step",
    "directional_derivative",
    "forward_difference",
    "plot_agreement",
    "plot_heatmap",
    "plot_step_sizes",
    "plot_taylor",
    "richardson_difference",
    "taylor_test",
]

_HOME = dict.fromkeys(__all__, ".differences")
_HOME |= {name: ".figures" for name in __all__ if name.startswith("plot_")}
_HOME |= {"assert_grad_allclose": ".checks", "check_grad": ".checks", "check_vjp": ".vjp"}
_HOME |= {"GradientReport": ".report"}
_HOME |= dict.fromkeys(("InputError", "check_files"), "..user_functions")  # they were here once


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for: `blas.py` is wanted without the rest."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME[name], __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
