"""The project's text files and how the check scripts report on them. Standard library only."""

import argparse
import pathlib
import sys

FOLDERS = ("libcache", "services", "kernels", "proto", "tests", "deploy", "helm", "docs", "cmake",
           ".dev", ".ci")
CXX = (".h", ".cc", ".cu", ".cuh")
TEXT = CXX + (".py", ".sh", ".proto", ".cmake", ".txt", ".md", ".json", ".toml", ".yaml", ".yml",
              "")  # No suffix: scripts.
# Data: kept byte for byte, whatever it looks like.
DATA = ("tests/golden/", "tests/data/", "tests/fuzz/corpus/")


def root_argument(description: str) -> pathlib.Path:
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("root", nargs="?", type=pathlib.Path,
                        default=pathlib.Path(__file__).resolve().parent.parent)
    return parser.parse_args().root


def files(root: pathlib.Path, suffixes: tuple, folders: tuple = FOLDERS):
    """Pairs (path from the root with slashes, text), sorted. The root's own files come with TEXT.

    Not by git: it refuses a tree that belongs to somebody else, as in a CI container.
    """
    found = [p for folder in folders for p in (root / folder).rglob("*")]
    if folders is FOLDERS:
        found += root.iterdir()
    for path in sorted(found):
        name = path.relative_to(root).as_posix()
        if (not path.is_file() or path.is_symlink() or path.suffix not in suffixes
                or "__pycache__" in name or name.startswith(DATA) or name == "LICENSE"
                or name == ".git"):  # A file in a linked worktree.
            continue
        try:
            yield name, path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue


def line_of(text: str, offset: int) -> int:
    return text.count("\n", 0, offset) + 1


def finish(reports: list) -> None:
    """Prints the reports as file:line: message and exits 1 if there are any."""
    for report in reports:
        print(report)
    sys.exit(1 if reports else 0)
