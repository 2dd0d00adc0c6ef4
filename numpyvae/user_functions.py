"""`numpyvae check F GRAD --at POINT`: functions that are in a file, a point that is in another."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import sys
import zipfile
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from numpy.lib.format import MAGIC_PREFIX

from numpyvae.data.npy import members, read_member, read_npy
from numpyvae.data.untrusted import brief, refusing_damage
from numpyvae.gradient_check import GradientReport, check_grad
from numpyvae.numerics import Array

__all__ = ["InputError", "check_files", "load_function", "load_point"]

PREFIX = "checked:"  # begins the module names of loaded files, which stay loaded
# What stored arrays may come to: so many bytes, and so many times the size of the file.
FREE_BYTES, MOST_COMPRESSION = 2**24, 16
MOST_ARRAYS = 1000


class InputError(ValueError):
    """A file, function or point that cannot be used: what was expected, and what came."""


def check_files(
    f_spec: str, grad_spec: str, point_path: str | os.PathLike[str], **options: Any
) -> GradientReport:
    """Check the gradient ``grad_spec`` of ``f_spec`` at the point stored in ``point_path``.

    f_spec, grad_spec  ``"path/to/my_module.py:f"`` or ``"package.module:f"``
    point_path         an .npz file, or .npy with theta alone. If the .npz has an array ``theta``,
                       that is theta, and its other arrays are constants, passed by name to each
                       function that takes them; the report says which. Otherwise one array is
                       theta, and several are one dict of parameters: ``f({"W": W, "b": b})``.
    options            those of :func:`check_grad`

    Raises InputError for everything that is wrong with the three arguments, and for a function that
    fails at theta.
    """
    f, grad = load_function(f_spec), load_function(grad_spec)
    theta, more = load_point(point_path)
    taken = {name for function in (f, grad) for name in _taken(function, more)}
    f, grad = _with(f, more), _with(grad, more)
    try:
        report = check_grad(f, theta, grad, **options)
    except InputError:
        raise
    except (Exception, SystemExit) as error:
        raise InputError(
            f"the check could not run with theta = {_in_words(theta)} from "
            f"{os.fspath(point_path)}: {type(error).__name__}: {error}{_place_of(error)}"
        ) from error
    report.warnings += _constants(more, taken)
    return report


def _in_words(theta: Any) -> str:
    """What f is called with: an array, or all arrays in one argument."""
    if isinstance(theta, dict):
        return f"one dict of the arrays {', '.join(theta)}"
    return f"an array of shape {theta.shape}"


def _constants(more: Collection[str], taken: Collection[str]) -> list[str]:
    """Which arrays beside theta were not differentiated, and which were not used."""
    constant = ", ".join(name for name in more if name in taken)
    unused = ", ".join(name for name in more if name not in taken)
    said = [f"only theta is checked; constant: {constant}"] if constant else []
    return said + ([f"neither function takes, so not used: {unused}"] if unused else [])


def _place_of(error: BaseException) -> str:
    """Where in the user's own file it was raised, if it was."""
    trace, place = error.__traceback__, ""
    while trace is not None:
        if trace.tb_frame.f_globals.get("__name__", "").startswith(PREFIX):
            place = f" ({Path(trace.tb_frame.f_code.co_filename).name}, line {trace.tb_lineno})"
        trace = trace.tb_next
    return place


def load_function(spec: str) -> Callable[..., Any]:
    """The function that ``"file.py:name"`` or ``"package.module:name"`` stands for."""
    where, colon, name = spec.rpartition(":")
    if not colon or not where or not name.replace(".", "_").isidentifier():
        raise InputError(f"expected FILE.py:FUNCTION or MODULE:FUNCTION, but got {spec!r}")
    if os.path.isfile(where) and not where.endswith(".py"):  # noqa: PTH113
        raise InputError(f"expected a Python file named .py, but got {where}")
    value = module = _load_file(where) if where.endswith(".py") else _import(where)
    for part in name.split("."):
        if not hasattr(value, part):
            own = (k for k, v in vars(module).items() if callable(v) and not k.startswith("_"))
            there = ", ".join(sorted(own)[:12]) or "no functions"
            raise InputError(f"{where} has no {name!r}; it has {there}")
        value = getattr(value, part)
    if not callable(value):
        raise InputError(f"{spec} is not a function, but a {type(value).__name__}")
    return value


def _load_file(path: str) -> Any:
    """A Python file as a module, loaded once, so that f and its gradient share what they share."""
    full = Path(path).resolve()
    if not full.is_file():
        raise InputError(f"there is no file {path}")
    key = str(full).replace("%", "%25").replace(".", "%2e")  # a dot would make it a submodule
    name = f"{PREFIX}{key}:{full.stat().st_mtime_ns}"
    if name in sys.modules:
        return sys.modules[name]
    found = importlib.util.spec_from_file_location(name, full)
    if found is None or found.loader is None:
        raise InputError(f"{path} cannot be loaded as Python")
    module = sys.modules[name] = importlib.util.module_from_spec(found)
    path_list, entries = sys.path, list(sys.path)
    sys.path.insert(0, str(full.parent))  # so that it can import its neighbours
    try:
        found.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        sys.modules.pop(name, None)
        raise InputError(f"{path} cannot be loaded: {type(error).__name__}: {error}") from error
    finally:
        sys.path = path_list  # whatever the file did to it
        sys.path[:] = entries
    return module


def _import(name: str) -> Any:
    here = os.getcwd()  # noqa: PTH109, as `python -m` would find it
    sys.path.insert(0, here)
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:
        text = f"module {name!r} cannot be imported: {type(error).__name__}: {error}"
        raise InputError(text) from error
    finally:
        if here in sys.path:
            sys.path.remove(here)


def _with(function: Callable[..., Any], more: dict[str, Any]) -> Callable[[Any], Any]:
    """``function`` with the further arrays given by name, as far as it takes them."""
    more = _taken(function, more)
    return (lambda theta: function(theta, **more)) if more else function


def _taken(function: Callable[..., Any], more: dict[str, Any]) -> dict[str, Any]:
    """Those of the further arrays that ``function`` takes by name."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return more
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return more
    return {k: v for k, v in more.items() if k in {p.name for p in parameters}}


def load_point(path: str | os.PathLike[str]) -> tuple[Any, dict[str, Any]]:
    """A point from a file: theta (an array, or a dict of arrays) and further arguments by name."""
    shown = os.fspath(path)
    if not Path(path).is_file():
        raise InputError(f"there is no file {shown}")
    try:
        arrays = _stored_arrays(path)
    except Exception as error:
        if Path(path).suffix.lower() not in (".npz", ".npy"):
            raise InputError(f"expected an .npz or .npy file, got {shown}") from error
        why = brief(error).removeprefix(f"{shown}: ")
        raise InputError(f"{shown} is not an .npz file of plain arrays: {why}") from error
    if not arrays:
        raise InputError(f"{shown} holds no arrays: expected theta, or parameters by name")
    if "theta" in arrays:
        return arrays.pop("theta"), arrays
    return (next(iter(arrays.values())) if len(arrays) == 1 else arrays), {}


def _stored_arrays(path: str | os.PathLike[str]) -> dict[str, Array]:
    """The arrays of an .npz file of unknown origin by name; that of a .npy file is "theta"."""
    with Path(path).open("rb") as file:
        if file.read(len(MAGIC_PREFIX)) == MAGIC_PREFIX:
            return {"theta": read_npy(path)}
        most = FREE_BYTES + MOST_COMPRESSION * os.fstat(file.fileno()).st_size
        with refusing_damage(path), zipfile.ZipFile(file) as archive:
            found = members(archive)
            promised = sum(member.file_size for member in found.values())
            if promised > most or len(found) > MOST_ARRAYS:
                raise ValueError(
                    f"expected at most {MOST_ARRAYS:,} arrays of {most:,} bytes in all, got "
                    f"{len(found):,} of {promised:,}"
                )
            return {name: read_member(archive, member) for name, member in found.items()}
