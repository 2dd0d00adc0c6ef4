"""docs/models.md says what the measured rows say."""

import runpy
import sys
from pathlib import Path

DOCS = Path(__file__).parent.parent / "docs"


def test_page_is_what_the_command_writes(monkeypatch):
    monkeypatch.syspath_prepend(str(DOCS))
    script = runpy.run_path(str(DOCS / "measure_models.py"))
    for name in ("measure_labels_and_codes", "models_text"):
        sys.modules.pop(name, None)
    rows = script["read"]()
    assert {(name, int(L)) for name, L, _ in rows} == {
        (name, L) for name, entry in script["MODELS"].items() for L in entry.latent_dims
    }
    written = (DOCS / "models.md").read_text(encoding="utf-8")
    assert "not measured" not in written
    assert written == script["page"](), "run python docs/measure_models.py --page"
