"""No page of the site asks any host for anything: what it shows, it brings along."""

import re
from pathlib import Path

REQUESTS = re.compile(
    r"""<(?:script|img|iframe|source|video|audio|embed|object)\b[^>]*?\s(?:src|data|srcset)\s*=\s*["']?\s*(?:https?:)?//[^"'\s>]+"""
    r"""|<link\b(?=[^>]*\brel\s*=\s*["']?(?:stylesheet|icon|preload|prefetch|preconnect|dns-prefetch|modulepreload|shortcut))[^>]*\shref\s*=\s*["']?(?:https?:)?//[^"'\s>]+"""
    r"""|@import\s+(?:url\()?["']?(?:https?:)?//[^"')\s]+"""
    r"""|url\(\s*["']?(?:https?:)?//[^"')\s]+""",
    re.I,
)


def requests_in(text: str) -> list[str]:
    """What a browser would ask a host for while it shows this HTML or CSS."""
    return [found[0] for found in REQUESTS.finditer(text)]


def requests_of(site: Path) -> list[str]:
    """The same of every page and style of a site, each with its file."""
    files = sorted(path for path in site.rglob("*") if path.suffix in (".html", ".css"))
    if not files:
        raise ValueError(f"expected a built site in {site}, got no page")
    return [
        f"{path.relative_to(site)}: {request}"
        for path in files
        for request in requests_in(path.read_text(encoding="utf-8"))
    ]
