"""deploy/cluster/up and down: daemons of this machine, replayed through and taken down again.

Usage: local_cluster_test.py BIN OUT
"""

import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
from harness import SOURCE, Skip, main, run  # noqa: E402

UP = SOURCE / "deploy" / "cluster" / "up"
DOWN = SOURCE / "deploy" / "cluster" / "down"


class Folder:
    """Where a run keeps its things. The path is short, as a socket's has to be; nothing may stay in it."""

    def __init__(self, arguments):
        self.path = pathlib.Path(tempfile.mkdtemp(prefix="cairn-up-"))
        # Without the public traces, so that every machine replays the same.
        self.environment = {"BIN": str(arguments.bin.resolve()), "TMPDIR": str(self.path), "CAIRN_TRACES": "none"}
        self.started = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.started:
            if process.poll() is None:
                process.kill()
            process.wait()
        self.call(DOWN)
        shutil.rmtree(self.path)

    def call(self, *command):
        return run(*command, environment=self.environment)

    def start(self, *options) -> subprocess.Popen:
        """A run that stays after its replay; returns once that is over."""
        process = subprocess.Popen([str(UP), *options, "--hold"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                   text=True, env={**os.environ, **self.environment})
        self.started.append(process)
        said = ""
        for line in process.stdout:
            said += line
            if "stay until Ctrl-C" in line:
                return process
        process.wait()
        raise AssertionError(said)

    def left(self) -> list:
        return list(self.path.iterdir())

    def daemons(self) -> list:
        return [int(pid) for file in self.path.glob("*/pids") for pid in file.read_text().split()]


def runs(pid: int) -> bool:
    try:
        return "cairnd" in os.readlink(f"/proc/{pid}/exe")
    except OSError:
        return False


def spaces_of(pid: int) -> list:
    folder = pathlib.Path("/run/netns")
    return sorted(folder.glob(f"cairn-{pid}-*")) if folder.is_dir() else []


def replay(arguments, net: str):
    with Folder(arguments) as folder:
        done = folder.call(UP, "--net", net, "--limit", "50")
        if net == "namespaces" and "no network namespaces here" in done.stdout + done.stderr:
            raise Skip("no network namespaces can be made here: that takes root and iproute2")
        assert done.returncode == 0, done.stdout + done.stderr
        assert f"Starting 3 daemons with 96MiB each ({net})" in done.stdout, done.stdout
        served = re.search(r"Served ([\d,]+) of ([\d,]+) prompt tokens", done.stdout)
        assert served and served.group(1) != "0" and "wrong bytes: 0." in done.stdout, done.stdout
        for name in ("cairn-0", "cairn-1", "cairn-2"):
            assert re.search(rf"{name} +serving", done.stdout), done.stdout
        assert not folder.left(), folder.left()


def replays_by_unix_sockets(arguments):
    replay(arguments, "unix")


def replays_by_loopback(arguments):
    replay(arguments, "loopback")


def replays_between_namespaces(arguments):
    replay(arguments, "namespaces")


def ends_in_order_by_ctrl_c(arguments):
    with Folder(arguments) as folder:
        process = folder.start("--net", "unix", "--limit", "5", "--daemons", "2")
        daemons = folder.daemons()
        assert len(daemons) == 2 and all(map(runs, daemons)), daemons
        told = folder.call(DOWN)
        assert told.returncode == 0 and "belongs to a run that goes on" in told.stdout, told.stdout
        assert all(map(runs, daemons)), "down took a run that goes on"
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
        assert process.returncode == 130 and not any(map(runs, daemons)) and not folder.left(), process.returncode


def down_removes_what_a_kill_left(arguments):
    """Daemons, folder, and the namespaces where there are some."""
    with Folder(arguments) as folder:
        process = folder.start("--limit", "5", "--daemons", "2")
        daemons, spaces = folder.daemons(), spaces_of(process.pid)
        process.kill()
        process.communicate(timeout=60)
        assert len(daemons) == 2 and all(map(runs, daemons)) and folder.left(), "nothing is left to be removed"
        done = folder.call(DOWN)
        assert done.returncode == 0 and "Removing" in done.stdout, done.stdout + done.stderr
        for _ in range(100):
            if not any(map(runs, daemons)):
                break
            time.sleep(0.1)
        assert not any(map(runs, daemons)) and not folder.left() and not spaces_of(process.pid)
        assert os.geteuid() != 0 or not shutil.which("ip") or len(spaces) in (0, 3), spaces
        assert "nothing was left" in folder.call(DOWN).stdout


def wrong_options_are_told(arguments):
    with Folder(arguments) as folder:
        for options, expected in ((("--daemons", "17"), "is not 1 to 16"), (("--net", "token-ring"), "'token-ring'"),
                                  (("--trace", "/no/such"), "cannot be read"), (("--memory",), "wants a value"),
                                  (("--fast",), "there is no option '--fast'")):
            done = folder.call(UP, *options)
            assert done.returncode != 0 and expected in done.stderr, (options, done.stderr)
        assert not folder.left()


TESTS = [replays_by_unix_sockets, replays_by_loopback, replays_between_namespaces, ends_in_order_by_ctrl_c,
         down_removes_what_a_kill_left, wrong_options_are_told]

if __name__ == "__main__":
    sys.exit(main(__doc__, "LocalCluster", TESTS))
