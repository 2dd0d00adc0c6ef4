"""The `numpyvae` command, also as `python -m numpyvae`."""

import os
import sys


def main() -> int:
    """Run the command; with one thread of MKL, where that is NumPy's library of matrix products.

    OpenBLAS is told by `numpyvae.gradient_check.blas` where products are computed. MKL reads this
    when NumPy is loaded.
    """
    os.environ.setdefault("MKL_NUM_THREADS", "1")
    try:
        from numpyvae.cli import main

        return main()
    except KeyboardInterrupt:  # while still importing
        return 130


if __name__ == "__main__":
    sys.exit(main())
