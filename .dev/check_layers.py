"""Checks who includes whom: the arrow between folders, and each third-party library in its place.

The link lines in libcache/*/CMakeLists.txt say the same; a header-only use slips past a linker.
"""

import re

from sources import CXX, files, finish, line_of, root_argument

# Folder of libcache -> the folders it may include, besides itself. A new folder needs a row.
LAYERS = {
    "base": (),
    "model": ("base", "codec"),
    "trace": ("base",),
    "cuda": ("base",),
    "tier": ("base", "codec", "cuda", "kernels"),
    "codec": ("base", "kernels"),
    "placement": ("base", "policy"),
    "policy": ("base",),
    "solver": ("base",),
    "published": ("base", "solver"),
    "cluster": ("base",),
    "index": ("base", "tier"),
    "cache": ("base", "codec", "model", "index", "placement", "policy", "tier"),
    "sim": ("base", "cluster", "model", "placement", "policy", "published", "trace"),
    "ucx": ("base",),
    "transport": ("base", "proto", "ucx"),
    "connector": ("base", "model", "cache", "cuda", "transport", "cluster", "proto"),
}

# Start of the header's name -> where it may be included. Tests may include anything.
THIRD_PARTY = {
    "rocksdb/": ("libcache/tier/",),
    "ucp/": ("libcache/ucx/",),
    "ucs/": ("libcache/ucx/",),
    "cuda.h": ("libcache/cuda/", "kernels/"),
    "boost/": ("services/cairnd/",),
    "prometheus/": ("services/cairnd/",),
    "google/protobuf/": ("libcache/transport/", "libcache/connector/", "services/"),
    "nlohmann/": ("libcache/model/", "libcache/published/", "libcache/trace/", "services/"),
    "openssl/": ("libcache/model/", "libcache/transport/", "services/cairn-bench/"),
    "spdlog/": ("services/",),
    "fmt/": ("services/",),
    "CLI/": ("services/",),
    "tl/": ("libcache/base/",),
    "xxh": ("libcache/base/",),
    "zlib.h": ("libcache/trace/",),
    "hiredis/": ("services/cairn-bench/",),
    "gtest/": (),
    "gmock/": (),
    "rapidcheck": (),
    "benchmark/": (),
    "zstd.h": (),
    # The lower layers see no socket.
    "sys/socket.h": ("libcache/transport/", "libcache/connector/", "services/"),
    "sys/un.h": ("libcache/transport/", "libcache/connector/", "services/"),
    "netinet/": ("libcache/transport/", "libcache/connector/", "services/"),
    # Slow to compile and start; libcache reports by results, services by spdlog or stdio.
    "iostream": ("services/",),
}
# What several programs have in common, and which of them are programs' business alone.
SHARED_BY_PROGRAMS = ("services/terminal", "services/placement_file")
# 3 s of compile time for everybody who includes such a header.
NOT_IN_HEADERS = ("nlohmann/", "CLI/")

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.M)


def ours(path: str) -> str:
    """What an include path of ours belongs to: "libcache/base", "proto", "services/cairnd", ""."""
    parts = path.split("/")
    if path.startswith("cairn/v1/"):
        return "proto"
    if parts[0] in ("libcache", "services") and len(parts) > 2:
        return "/".join(parts[:2])
    return parts[0] if parts[0] in ("libcache", "services", "kernels", "tests") else ""


def problem(includer: str, path: str, quoted: bool) -> str:
    """Why the file `includer` may not include `path`, or "" if it may."""
    if includer.startswith("tests/"):
        return ""
    here, there = ours(includer), ours(path)
    if there == "tests":
        return "only tests include tests"
    if there in ("", "proto") and not (there == "proto" and here.startswith("libcache/")):
        for prefix, allowed in THIRD_PARTY.items():
            if not quoted and path.startswith(prefix):
                if not includer.startswith(allowed):
                    return f"<{prefix}...> is for {', '.join(allowed) or 'tests'} only"
                if prefix in NOT_IN_HEADERS and includer.endswith(".h"):
                    return f"<{prefix}...> is for .cc files only"
        if quoted and there == "":
            return "include our files by their path from the root"
        return ""
    if here.startswith("services/") and there.startswith("services/"):
        if there in (here, *SHARED_BY_PROGRAMS):
            return ""
        return f"{here} may not include another program, {there}"
    if here.startswith("libcache/"):
        folder, target = here.split("/")[1], there.split("/")[-1]
        if folder not in LAYERS:
            return f"{here} has no row in .dev/check_layers.py"
        if there.startswith("services"):
            return "libcache may not include services"
        if folder != target and target not in LAYERS[folder]:
            return f"{here} may only include {', '.join(LAYERS[folder]) or 'nothing'}, not {target}"
    return ""


def check(name: str, text: str) -> list:
    reports = []
    for match in INCLUDE.finditer(text):
        why = problem(name, match.group(2), match.group(1) == '"')
        if why:
            reports.append(f"{name}:{line_of(text, match.start(1))}: {match.group(2)}: {why}")
    return reports


if __name__ == "__main__":
    root = root_argument(__doc__)
    reports = []
    for name, text in files(root, CXX, ("libcache", "services", "kernels", "tests")):
        reports += check(name, text)
    finish(reports)
