"""The interactive page, of a model that is trained while the site is built."""

import contextlib
import io
import tempfile
from pathlib import Path

from building.documents import LIVE

EPOCHS = 60


def write_live(folder: Path) -> None:
    """Train on the digits for some seconds and copy the page of that run to explore.html."""
    from numpyvae.cli import main

    folder.mkdir(parents=True, exist_ok=True)
    page = folder / "explore.html"
    if not LIVE or page.exists():
        return
    with tempfile.TemporaryDirectory() as run, contextlib.redirect_stdout(io.StringIO()):
        digits = Path(run, "digits")  # the name is the page's title
        code = main(["train", "--out", str(digits), "--epochs", str(EPOCHS)])
        if code or not (digits / "explore.html").exists():
            raise RuntimeError(f"expected `numpyvae train` to write explore.html, exit code {code}")
        page.write_bytes((digits / "explore.html").read_bytes())
