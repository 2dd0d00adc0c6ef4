"""Is this the gradient of that function? Needs NumPy alone; any ``f(theta) -> number`` will do.

point -> probe f -> units and noise -> candidate gradient -> method -> estimates with bounds ->
comparison -> verdict -> diagnosis -> report
"""

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
from .user_functions import InputError, check_files
from .vjp import check_vjp

__all__ = [
    "GradientReport",
    "InputError",
    "TaylorTest",
    "assert_grad_allclose",
    "central_difference",
    "check_files",
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
