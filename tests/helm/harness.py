"""What the tests of chart and deployment files share: the tools, running them, telling results.

Results are told in the words of GoogleTest, which ./dev test looks for.
"""

import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys
import time
import traceback

SOURCE = pathlib.Path(__file__).resolve().parents[2]
CHART = SOURCE / "helm" / "cairn"
HERE = SOURCE / "tests" / "helm"
GOLDEN = SOURCE / "tests" / "golden" / "helm"
TOOLS = pathlib.Path(os.environ.get("CAIRN_TOOLS", SOURCE / "build" / "tools"))
SKIPPED = 77


class Skip(Exception):
    """What a test would check cannot be checked here; the text says what to install."""


def tool(name: str, how: str = "./dev setup helm") -> str:
    path = TOOLS / name
    found = str(path) if path.exists() else shutil.which(name)
    if not found:
        raise Skip(f"{name} is not here: {how} installs it")
    return found


def run(*command, stdin: str = "", timeout_s: int = 120, environment: dict = None):
    """The finished process, its output as text."""
    return subprocess.run([str(part) for part in command], input=stdin, capture_output=True, text=True,
                          timeout=timeout_s, env={**os.environ, **(environment or {})})


def check(command: list, what: str, **more) -> str:
    """Its output; it must succeed."""
    done = run(*command, **more)
    assert done.returncode == 0, f"{what}: exit code {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


def render(*values, namespace: str = "serving") -> subprocess.CompletedProcess:
    """The chart as `helm template` has it. A value is a file, or NAME=VALUE."""
    flags = []
    for value in values:
        flags += ["--values", value] if isinstance(value, pathlib.Path) else ["--set", value]
    return run(tool("helm"), "template", "cairn", CHART, "--namespace", namespace,
               "--kube-version", "1.36", *flags)


def rendered(*values) -> str:
    done = render(*values)
    assert done.returncode == 0, f"helm template {values}: {done.stderr}"
    return done.stdout


def objects(text: str) -> list:
    return json.loads(check([tool("checks"), "json", "-"], "reading what was rendered", stdin=text))


def of_kind(text: str, kind: str) -> list:
    return [one for one in objects(text) if one["kind"] == kind]


def pod_of(text: str) -> dict:
    workloads = of_kind(text, "DaemonSet") + of_kind(text, "StatefulSet")
    assert len(workloads) == 1, [one["metadata"]["name"] for one in workloads]
    return workloads[0]["spec"]["template"]["spec"]


def reaches_into_node(case: pathlib.Path) -> bool:
    """Of a file of values: says it of itself that it wants a privileged namespace?"""
    return "podSecurity: privileged" in case.read_text(encoding="utf-8")


class Daemon:
    """A cairnd of the build, in a folder of its own. Use it in a `with`. `starter` is what starts it, as
    another user for instance."""

    def __init__(self, bin_dir: pathlib.Path, folder: pathlib.Path, *flags, starter: tuple = ()):
        self.starter = starter
        self.socket = folder / "cairn.sock"
        self.program = bin_dir / "cairnd"
        self.cairnctl = bin_dir / "cairnctl"
        self.flags = flags
        self.log = folder / "cairnd.log"

    def __enter__(self):
        clean = {name: value for name, value in os.environ.items() if not name.startswith("CAIRN_")}
        with open(self.log, "w", encoding="utf-8") as log:
            self.process = subprocess.Popen([*self.starter, str(self.program), *map(str, self.flags)],
                                            stdout=log, stderr=log, env=clean)
        for _ in range(300):
            if self.status().returncode == 0:
                return self
            assert self.process.poll() is None, f"cairnd ended: {self.log.read_text()}"
            time.sleep(0.1)
        raise AssertionError(f"cairnd does not serve: {self.log.read_text()}")

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait(timeout=90)

    def status(self):
        return run(self.cairnctl, "--connect", f"unix:{self.socket}", "--timeout", "4000", "status")

    def http_port(self) -> str:
        return self.log.read_text().split("http_port=")[1].split()[0]


def main(description: str, suite: str, tests: list) -> int:
    """Runs tests: functions of the parsed arguments, whose docstring says what they check."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("bin", type=pathlib.Path, help="where cairnd and cairnctl are")
    parser.add_argument("out", type=pathlib.Path, help="folder for what is written")
    parser.add_argument("--only", default="", help="part of a test's name")
    parser.add_argument("--regenerate", action="store_true", help="write the golden files anew")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    failed = ran = 0
    for test in tests:
        if arguments.only not in test.__name__:
            continue
        name = f"{suite}.{test.__name__}"
        print(f"[ RUN      ] {name}", flush=True)
        begin = time.monotonic()
        result, text = "      OK", ""
        try:
            test(arguments)
            ran += 1
        except Skip as reason:
            result, text = " SKIPPED", f"{pathlib.Path(sys.argv[0]).name}:1: Skipped\n{reason}\n"
        except Exception as error:  # A failed test, whatever it was: the others run on.
            result, text = "  FAILED", "" if isinstance(error, AssertionError) else traceback.format_exc()
            text += f"{error}\n"
            failed += 1
        print(f"{text}[ {result} ] {name} ({int(1000 * (time.monotonic() - begin))} ms)", flush=True)
    return 1 if failed else 0 if ran else SKIPPED
