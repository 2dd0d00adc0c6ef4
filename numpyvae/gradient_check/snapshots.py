"""Deep copies of arrays inside tuples, lists, dicts and plain objects, and whether they changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

__all__ = ["changed", "snapshot"]


def snapshot(value: Any) -> Any:
    """A copy in which no array is shared; what is neither array nor container stays as it is."""
    if isinstance(value, np.ndarray):
        return value.copy()
    if isinstance(value, Mapping):
        return {k: snapshot(v) for k, v in value.items()}
    if isinstance(value, tuple):
        return tuple(snapshot(v) for v in value)
    if isinstance(value, list):
        return [snapshot(v) for v in value]
    return value if not _has_fields(value) else {k: snapshot(v) for k, v in vars(value).items()}


def changed(before: Any, now: Any) -> bool:
    """Whether ``now`` differs from the :func:`snapshot` taken ``before``."""
    if _has_fields(now) and isinstance(before, Mapping):
        now = vars(now)
    if isinstance(before, np.ndarray):
        return not (
            isinstance(now, np.ndarray) and now.shape == before.shape and _equal(before, now)
        )
    if isinstance(before, Mapping):
        return (
            not isinstance(now, Mapping)
            or list(before) != list(now)
            or any(changed(before[k], now[k]) for k in now)
        )
    if isinstance(before, (tuple, list)):
        same = isinstance(now, (tuple, list)) and len(now) == len(before)
        return not same or any(changed(a, b) for a, b in zip(before, now, strict=True))
    return isinstance(before, (int, float, complex, str)) and before != now and before == before


def _equal(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> bool:
    return bool(np.array_equal(a, b, equal_nan=a.dtype.kind in "fc"))


def _has_fields(value: Any) -> bool:
    return (
        hasattr(value, "__dict__") and not callable(value) and type(value).__module__ != "builtins"
    )
