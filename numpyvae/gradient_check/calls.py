"""Counting which Python functions run during a call."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import numpy as np

__all__ = ["busiest_ratio", "count_calls"]


def count_calls(function: Callable[[], Any]) -> tuple[Any, dict[Any, int]]:
    """``function()`` and how often each Python function (by its code) was entered meanwhile.

    Counts nothing where a profiler is at work already.
    """
    counts: dict[Any, int] = {}
    if sys.getprofile() is not None:
        return function(), counts

    def count(frame: FrameType, event: str, _: Any) -> None:
        if event == "call":
            counts[frame.f_code] = counts.get(frame.f_code, 0) + 1

    sys.setprofile(count)
    try:
        return function(), counts
    finally:
        sys.setprofile(None)


def busiest_ratio(inner: dict[Any, int], outer: dict[Any, int]) -> int:
    """How often a function that ran once in ``inner`` ran in ``outer``; not NumPy's, not ours."""
    from pathlib import Path

    skip = (str(Path(np.__file__).parent), str(Path(__file__).parent))
    return max(
        (
            outer.get(code, 0)
            for code, n in inner.items()
            if n == 1 and not code.co_filename.startswith(skip)
        ),
        default=0,
    )
