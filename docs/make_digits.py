"""Makes numpyvae/data/digits.npz from scikit-learn's copy of the UCI optical digits.

Run by hand, from the root of the checkout, with scikit-learn installed:

    python docs/make_digits.py

The same NumPy and zlib make the same bytes: entries carry a fixed date, and the split a fixed seed.
"""

import hashlib
import io
import zipfile
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

TARGET = Path(__file__).parent.parent / "numpyvae" / "data" / "digits.npz"
SEED = 20240229
DATE = (1998, 7, 1, 0, 0, 0)


def stratified_test_rows(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Every fifth image of each class, in random order within the class: sorted row numbers.

    Walking through all images class after class and taking every fifth gives each class its share
    to within one image, and 360 of the 1,797 altogether.
    """
    shuffled = rng.permutation(len(labels))
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    return np.sort(by_class[::5])


def write_npz(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """What `numpy.savez_compressed` does, with a fixed date and system in place of today's."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in arrays.items():
            entry = zipfile.ZipInfo(f"{name}.npy", DATE)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system = 3  # "made on Unix", wherever it was made
            content = io.BytesIO()
            np.lib.format.write_array(content, array, allow_pickle=False)
            archive.writestr(entry, content.getvalue(), compresslevel=9)


def main() -> None:
    digits = load_digits()
    labels = digits.target.astype(np.uint8)  # (1797,) classes 0..9
    counts = digits.data.astype(np.uint8)  # (1797, 64) counts 0..16
    if not np.array_equal(counts, digits.data):
        raise ValueError("expected whole counts, got fractions: a different data set?")
    test_rows = stratified_test_rows(labels, np.random.default_rng(SEED)).astype(np.uint16)
    write_npz(TARGET, {"counts": counts, "labels": labels, "test_rows": test_rows})
    content = TARGET.read_bytes()
    print(f"{TARGET.name}: {len(content):,} bytes, SHA-256 {hashlib.sha256(content).hexdigest()}")


if __name__ == "__main__":
    main()
