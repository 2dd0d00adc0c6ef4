#!/usr/bin/env bash
# Run once, when the image is built: Python and NumPy, nothing else. Needs Ubuntu 22.04 or newer.
set -euo pipefail
apt-get update
apt-get install -y --no-install-recommends python3 python3-venv
python3 -m venv /autograder/venv
/autograder/venv/bin/python -m pip install --only-binary=numpy "numpy>=1.26"
