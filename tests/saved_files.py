"""All that a file of `write_npz` holds, for tests that change it."""

from numpyvae.storage import open_npz


def read_all(path):
    """(arrays, description)."""
    with open_npz(path) as saved:
        return {name: saved.read(name) for name in saved}, saved.description
