"""`numpyvae exercises template`: a folder with one exercise in it, to make one's own of."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from numpyvae.data.files import atomic_write
from numpyvae.exercises.judge.own import CATALOGUE

__all__ = ["add_to"]

TEXTS = Path(__file__).parent / "texts"
FILES = {CATALOGUE: "template_catalogue.py", "ex1_softmax.py": "template_softmax.py"}


def add_to(commands: Any) -> None:
    """Add `template` to the commands of `numpyvae exercises`."""
    add = commands.add_parser("template", help="write a folder to make your own exercises of")
    add.add_argument("folder", type=Path, metavar="FOLDER")
    add.set_defaults(command=template)


def template(arguments: argparse.Namespace) -> int:
    """Write the folder. FileExistsError if one of its files is there already."""
    folder: Path = arguments.folder
    for name in FILES:
        if (folder / name).exists():
            raise FileExistsError(f"{folder / name} exists already: expected a new folder")
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in FILES.items():
        with atomic_write(folder / name) as file:
            file.write((TEXTS / text).read_bytes())
    print(f"{folder}/: {', '.join(FILES)}")
    print(f"Prove that they hold together: numpyvae exercises lint --exercises {folder}")
    return 0
