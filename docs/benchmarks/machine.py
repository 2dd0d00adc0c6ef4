"""What the numbers were measured on: processor, cores, memory, versions. No names, no paths."""

import os
import platform
from pathlib import Path
from typing import NamedTuple

import numpy as np
from contenders import is_there, version_of


class Machine(NamedTuple):
    """What a reader needs to know of it."""

    processor: str
    cores: int
    memory: str
    versions: dict[str, str]


def processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def memory() -> str:
    try:
        size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return "memory unknown"
    return f"{size / 2**30:.0f} GiB of memory"


def blas() -> str:
    """NumPy's library of matrix products."""
    library = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    return f"{library['name']} {library['version']}"


def describe(cores: int) -> Machine:
    versions = {"Python": platform.python_version(), "NumPy": f"{np.__version__} ({blas()})"}
    for library, name in (("torch", "PyTorch"), ("jax", "JAX")):
        versions[name] = version_of(library) if is_there(library) else "not installed"
    return Machine(processor(), cores, memory(), versions)
