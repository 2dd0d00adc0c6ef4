"""Named arrays and a description in one .npz file: moved into place whole, read without pickle."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from numpyvae.data.files import atomic_write
from numpyvae.data.npy import read_member
from numpyvae.data.untrusted import refusing_damage
from numpyvae.numerics import Array

__all__ = ["read_npz", "write_npz"]


def write_npz(
    path: str | PathLike[str], arrays: Mapping[str, Array], description: Mapping[str, Any]
) -> None:
    """Write `arrays` and the `description`, which JSON must be able to hold, to `path`.

    Raises TypeError for an array of Python objects, which only a pickle could hold.
    """
    named: dict[str, Any] = {"description": np.array(json.dumps(description)), **arrays}
    for name, array in arrays.items():
        if array.dtype.hasobject:
            raise TypeError(f"{name} must hold numbers, got an array of {array.dtype}")
    with atomic_write(path) as file:
        np.savez(file, **named)


def read_npz(path: str | PathLike[str]) -> tuple[dict[str, Array], dict[str, Any]]:
    """What `write_npz` wrote: (arrays, description).

    Raises FileNotFoundError, or ValueError when the file is anything else: no archive, truncated,
    pickled, without a description, or with an array that promises more than the file holds.
    """
    import zipfile  # here, not above: only loading needs it

    name = os.fspath(path)
    if not Path(path).exists():
        raise FileNotFoundError(f"{name}: no such file")
    with refusing_damage(path), zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        arrays = {m.filename.removesuffix(".npy"): read_member(archive, m) for m in members}
    try:
        description = json.loads(str(arrays.pop("description")))
    except (KeyError, ValueError):
        raise ValueError(f"{name}: expected a file that numpyvae saved, got another") from None
    if not isinstance(description, dict):
        raise ValueError(f"{name}: expected a description, got {description!r:.40}")
    return arrays, description
