"""Allows only the co_await forms that g++ 12 compiles correctly (docs/style.md, Coroutines).

Conservative: some of the forms it refuses are harmless. Every form known to be miscompiled is refused.
"""

import re

from sources import CXX, files, finish, line_of, root_argument

# `auto x = co_await f(names)`, `co_return co_await f(names)`, `co_await f(names)`.
ALLOWED = re.compile(
    r"((const\s+)?auto\s*&{0,2}\s*\w+\s*=\s*|co_return\s+)?co_await\b[^{}?]*$", re.S)
LAMBDA = re.compile(r"\[[^\]]*\]\s*[({]")
# Comments, raw strings, strings, characters (not the separators of 1'000'000).
BLANK = re.compile(
    r"//[^\n]*|/\*.*?\*/|R\"([^(\s]*)\(.*?\)\1\"|\"(?:\\.|[^\"\\\n])*\"|(?<!\w)'(?:\\.|[^'\\\n])+'",
    re.S)


def blank(text: str) -> str:
    """The text with the inside of comments and literals as spaces; lines stay where they are."""
    return BLANK.sub(lambda m: re.sub(r"[^\n]", " ", m.group()), text)


def check(name: str, text: str) -> list:
    reports = []
    code = blank(text)
    for match in re.finditer(r"\bco_await\b", code):
        start = max(code.rfind(c, 0, match.start()) for c in ";{}") + 1
        end = code.find(";", match.end())
        statement = code[start:end if end >= 0 else len(code)].strip()
        where = f"{name}:{line_of(code, match.start())}"
        if statement.count("co_await") > 1:
            reports.append(f"{where}: more than one co_await in a statement")
        elif not ALLOWED.match(statement) or LAMBDA.search(statement):
            reports.append(
                f"{where}: g++ 12 may miscompile this co_await. Name operands and result: "
                "`const auto result = co_await Function(names);`, then test the result")
    return reports


if __name__ == "__main__":
    root = root_argument(__doc__)
    finish([r for name, text in files(root, CXX) for r in check(name, text)])
