"""The check scripts must find what they are for, and nothing else. Plain asserts: Debian's minimal
Python, which is all that they need, has no unittest."""

import pathlib
import re
import subprocess
import sys

sys.dont_write_bytecode = True
ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / ".dev"))

import check_coroutines  # noqa: E402
import check_layers  # noqa: E402
import check_text  # noqa: E402


def coroutine(body: str) -> list:
    return check_coroutines.check("x.cc", "Task Run() {\n" + body + "\n}\n")


def test_coroutine_forms_that_work_pass():
    for body in ("co_await f(a, b);",
                 "const auto n = co_await f(a);",
                 "auto&& n = co_await f(g(a), a.b());",
                 "co_return co_await f(a);",
                 "try {\n co_await f(a);\n } catch (...) {\n }",
                 "// if (co_await f()) is what g++ 12 breaks",
                 "/* co_await f({}) */ const auto n = co_await f(a);",
                 "Log(\"if (co_await f())\");",
                 "const char quote = '\"'; co_await f(a); const char* other = \"{\";",
                 "const int n = 1'000'000; co_await f(n); const int m = 2'000'000;",
                 "const auto text = R\"({\"a\": \"co_await f({})\"})\"; co_await f(text);"):
        assert coroutine(body) == [], (body, coroutine(body))


def test_coroutine_forms_that_break_are_found():
    for body in ("if (co_await f()) {\n}",
                 "while (co_await f() > 0) {\n}",
                 "switch (co_await f()) {\n}",
                 "co_await f([x] { return x; });",
                 "co_await f([x](int y) { return x + y; });",
                 "co_await f({a, b});",
                 "co_await f(Opts{.x = 1});",
                 "auto n = c ? co_await f() : g();",
                 "co_return S{.a = co_await f()};",
                 "auto n = co_await f() + co_await g();",
                 "auto n = h(co_await f());"):
        assert len(coroutine(body)) >= 1, body
    assert coroutine("\nif (co_await f()) {\n}")[0].startswith("x.cc:3: ")


def test_labels_are_told():
    """By ./dev help and CONTRIBUTING.md, since nothing else tells what --only takes."""
    text = "".join((ROOT / file).read_text(encoding="utf-8") for file in ("tests/CMakeLists.txt", "kernels/CMakeLists.txt"))
    found = re.findall(r"^ *cairn_tests\((\w+)|LABELS \"?([a-z;]+)", text, re.M)
    labels = {label for pair in found for part in pair for label in part.split(";") if label}
    assert {"unit", "chaos", "reach", "kernels"} <= labels, labels
    for page in ("dev", "CONTRIBUTING.md"):
        told = (ROOT / page).read_text(encoding="utf-8")
        missing = [label for label in labels if not re.search(rf"\b{label}\b", told)]
        assert not missing, (page, missing)


def test_help_of_verbs_acts_on_nothing():
    for verb in ("test", "bench", "setup", "build", "demo", "lint", "clean"):
        done = subprocess.run([str(ROOT / "dev"), verb, "--help"], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0 and "Usage: ./dev" in done.stdout and not done.stderr, (verb, done)


def test_layers():
    def why(includer, line):
        return check_layers.check(includer, line + "\n")

    for includer, line in (
            ("libcache/base/a.cc", '#include "libcache/base/a.h"'),
            ("libcache/base/a.cc", "#include <vector>"),
            ("libcache/base/a.cc", "#include <xxhash.h>"),
            ("libcache/index/a.h", '#include "libcache/tier/arena.h"'),
            ("libcache/tier/a.cc", "#include <rocksdb/db.h>"),
            ("libcache/model/a.cc", "#include <nlohmann/json.hpp>"),
            ("libcache/transport/a.cc", '#include "cairn/v1/cache.pb.h"'),
            ("libcache/transport/a.cc", "#include <sys/socket.h>"),
            ("services/cairnd/a.h", "#include <boost/asio.hpp>"),
            ("services/cairnd/a.h", '#include "services/cairnd/b.h"'),
            ("services/cairnctl/a.cc", '#include "services/terminal/table.h"'),
            ("services/cairnd/a.cc", '#include "libcache/cache/cache.h"'),
            ("services/cairnd/a.cc", '#include "cairn/v1/cache.pb.h"'),
            ("tests/unit/a_test.cc", "#include <gtest/gtest.h>"),
            ("tests/unit/a_test.cc", "#include <rocksdb/db.h>"),
            ("tests/unit/a_test.cc", '#include "tests/support/fake.h"')):
        assert why(includer, line) == [], (includer, line, why(includer, line))
    for includer, line in (
            ("libcache/base/a.cc", '#include "libcache/model/a.h"'),
            ("libcache/tier/a.cc", '#include "libcache/index/a.h"'),
            ("libcache/model/a.cc", '#include "libcache/tier/a.h"'),
            ("libcache/cache/a.cc", '#include "libcache/transport/a.h"'),
            ("libcache/cache/a.cc", '#include "cairn/v1/cache.pb.h"'),
            ("libcache/cache/a.cc", "  #  include <rocksdb/db.h>"),
            ("libcache/tier/a.cc", "#include <sys/socket.h>"),
            ("libcache/transport/a.cc", "#include <boost/asio.hpp>"),
            ("libcache/transport/a.cc", '#include "services/cairnd/a.h"'),
            ("libcache/model/a.h", "#include <nlohmann/json.hpp>"),
            ("libcache/base/a.cc", '#include "bytes.h"'),
            ("libcache/base/a.cc", "#include <gtest/gtest.h>"),
            ("libcache/base/a.cc", '#include "tests/support/fake.h"'),
            ("libcache/novel/a.cc", '#include "libcache/base/a.h"'),
            ("services/cairnctl/a.cc", '#include "services/cairnd/a.h"'),
            ("services/terminal/a.cc", '#include "services/cairnd/a.h"'),
            ("services/cairnctl/a.cc", "#include <boost/asio.hpp>")):
        assert len(why(includer, line)) == 1, (includer, line)


def test_text():
    assert check_text.check("a.cc", "int a;\n") == []
    assert check_text.check("a.h", "#pragma once\n") == []
    assert check_text.check("a.cc", "// TO" "DO(#7): later.\n") == []
    assert check_text.check("a.cc", "// See ../shared/traces and net/work/x.\n") == []
    for name, text in (("a.cc", "int a;\n" * 601),
                       ("a.cc", "int a;"),
                       ("a.cc", "int a; \n"),
                       ("a.cc", "\tint a;\n"),
                       ("a.cc", "// TO" "DO: later.\n"),
                       ("a.cc", "// FIX" "ME\n"),
                       ("a.h", "int a;\n"),
                       ("a.h", "#pragma once\nusing namespace std;\n"),
                       ("a.md", "look in /wo" "rk/main\n"),
                       ("dev", "cd /roo" "t/x\n")):
        assert len(check_text.check(name, text)) == 1, (name, text[:40])


if __name__ == "__main__":
    tests = [value for key, value in list(globals().items()) if key.startswith("test_")]
    for test in tests:
        test()
    print(f"{len(tests)} tests of the check scripts passed")
