"""`numpyvae explore`: the page of a run, from the run's folder and its data."""

from __future__ import annotations

import argparse

from numpyvae import run_data, runs
from numpyvae.explore import PAGE, why_no_page
from numpyvae.run_files import file_to_write, open_run, shown

__all__ = ["explore"]


def explore(arguments: argparse.Namespace) -> int:
    """Write the page that shows a run in a browser; ValueError if the run cannot have one."""
    path = file_to_write(arguments, PAGE, (".html",))
    model, config = open_run(arguments.run)
    source, name = arguments.data or config["data"], shown(arguments.run)
    if reason := why_no_page(model):
        raise ValueError(f"{name}: {path.name} is not written: {reason}")
    data = run_data.load_data(source, **runs.chosen(config))
    runs.check_same_data(name, config, shown(source), data, "--data FILE, if they have moved")
    runs.write_page(path, model, data)
    print(f"{path.stat().st_size / 1000:.0f} kB, to be opened in a browser: {shown(path)}")
    return 0
