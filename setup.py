"""The long description, and the chapters that go into the package; all else is in setup.cfg.

The README links to files beside it, which a package index does not have. The chapters of
docs/derivations are what `numpyvae exercises derive` reads: an installed package holds them as
numpyvae/derivations, and a checkout has no copy.
"""

from __future__ import annotations

import re
from configparser import ConfigParser
from pathlib import Path


def long_description(readme: str, source: str | None) -> str:
    """The README as an index shows it: links to files lead to `source`, the repository's address.

    Where that is not known, the text of such links is left, and nothing of such images.
    """

    def absolute(link: re.Match[str]) -> str:
        image, text, target = link.groups()
        if target.startswith(("https:", "#")):
            return link[0]
        if source is None:
            return "" if image else text
        return f"{image}[{text}]({source}/{'raw' if image else 'blob'}/main/{target})"

    return re.sub(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)", absolute, readme)


def source_address(setup_cfg: Path) -> str | None:
    """`Source` among the project_urls of setup.cfg, if it is there."""
    config = ConfigParser()
    config.read(setup_cfg, encoding="utf-8")
    lines = config.get("metadata", "project_urls", fallback="").split("\n")
    urls = dict(re.split(r"\s*=\s*", line, maxsplit=1) for line in lines if line)
    return urls.get("Source")


if __name__ == "__main__":
    from setuptools import setup  # here: the tests read this file where there is none
    from setuptools.command.build_py import build_py

    class WithChapters(build_py):
        """Copies the chapters into what is installed, but for an editable installation."""

        def run(self) -> None:
            super().run()
            folder = Path(self.build_lib) / "numpyvae" / "derivations"
            if not self.editable_mode:
                self.mkpath(str(folder))
                for chapter in sorted(root.glob("docs/derivations/*.md")):
                    self.copy_file(str(chapter), str(folder / chapter.name))

    root = Path(__file__).parent
    readme = (root / "README.md").read_text(encoding="utf-8")
    setup(
        cmdclass={"build_py": WithChapters},
        long_description=long_description(readme, source_address(root / "setup.cfg")),
        long_description_content_type="text/markdown",
    )
