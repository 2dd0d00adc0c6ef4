"""All that a file of `write_npz` holds, and what a run says of itself, for tests that change it."""

import json
from pathlib import Path

from numpyvae.storage import open_npz, write_npz


def read_all(path):
    """(arrays, description)."""
    with open_npz(path) as saved:
        return {name: saved.read(name) for name in saved}, saved.description


def rewritten(run, **entries):
    """Change entries of a run's configuration, in both of its files."""
    arrays, description = read_all(f"{run}/model.npz")
    description["run"].update(entries)
    Path(run, "config.json").write_text(json.dumps(description["run"]))
    write_npz(f"{run}/model.npz", arrays, description)
