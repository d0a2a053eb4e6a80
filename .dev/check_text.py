"""Checks that a compiler does not make: length of files, stray text, a few forms we do not use."""

import re

from sources import CXX, TEXT, files, finish, line_of, root_argument

MAX_LINES = 600
CODE = CXX + (".py", ".sh", "")

# Written as alternatives so that this file does not report itself.
ANYWHERE = (
    (re.compile(r"(?<![\w.])/(?:work|root)/"), "a path of one machine"),
    (re.compile(r"(?m)^(?:<{7}|>{7}) "), "a merge conflict"),
)
IN_CODE = (
    (re.compile(r"\b(?:FIX" r"ME|XX" r"X)\b"), "write TO" "DO(#issue)"),
    (re.compile(r"\bTO" r"DO\b(?!\(#\d+\))"), "write TO" "DO(#issue), with the issue's number"),
    (re.compile(r"(?m)[ \t]+$"), "blanks at the end of a line"),
)
IN_CXX = ((re.compile(r"\t"), "a tab"),)
IN_HEADERS = ((re.compile(r"(?m)^\s*using namespace\b"), "using namespace in a header"),)


def check(name: str, text: str) -> list:
    suffix = "." + name.rsplit(".", 1)[1] if "." in name.rsplit("/", 1)[-1].lstrip(".") else ""
    rules = list(ANYWHERE)
    reports = []
    if suffix in CODE:
        rules += IN_CODE
        lines = text.count("\n")
        if lines > MAX_LINES:
            reports.append(f"{name}:1: {lines} lines; {MAX_LINES} is the limit, split it")
    if suffix in CXX:
        rules += IN_CXX
    if suffix in (".h", ".cuh"):
        rules += IN_HEADERS
        # A header that plain C may include guards itself the old way.
        if "#pragma once" not in text and "#ifndef CAIRN_" not in text:
            reports.append(f"{name}:1: a header without #pragma once")
    for pattern, message in rules:
        for match in pattern.finditer(text):
            reports.append(f"{name}:{line_of(text, match.start())}: {message}")
    if text and not text.endswith("\n"):
        reports.append(f"{name}: the last line has no end")
    return reports


if __name__ == "__main__":
    root = root_argument(__doc__)
    finish([r for name, text in files(root, TEXT) for r in check(name, text)])
