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

    def replay_slowly(self):
        """So that it cannot be over before somebody looks."""
        programs = self.path / "bin"
        programs.mkdir()
        for name in ("cairnd", "cairnctl"):
            (programs / name).symlink_to(f"{self.environment['BIN']}/{name}")
        slow = programs / "cairn-bench"
        slow.write_text(f'#!/bin/sh\n[ "$1" != replay ] || sleep 100\nexec {self.environment["BIN"]}/cairn-bench "$@"\n')
        slow.chmod(0o755)
        self.environment["BIN"] = str(programs)

    def call(self, *command):
        return run(*command, environment=self.environment)

    def start(self, *options, until: str = "stay until Ctrl-C") -> subprocess.Popen:
        """A run that stays after its replay, in a process group of its own; returns once it says `until`."""
        process = subprocess.Popen([str(UP), *options, "--hold"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                   text=True, env={**os.environ, **self.environment}, process_group=0)
        self.started.append(process)
        said = ""
        for line in process.stdout:
            said += line
            if until in line:
                process.said = said
                return process
        process.wait()
        raise AssertionError(said)

    def left(self) -> list:
        return [one for one in self.path.iterdir() if one.name != "bin"]

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
        reached = re.search(r"ip netns exec cairn-\d+-engines PROGRAM", done.stdout)
        assert bool(reached) == (net == "namespaces"), done.stdout
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
        os.killpg(process.pid, signal.SIGINT)  # As a terminal does: to all of the group.
        told, _ = process.communicate(timeout=60)
        assert process.returncode == 130 and not any(map(runs, daemons)) and not folder.left(), process.returncode
        assert "everything has been taken down" in told and "The end of" not in told, told


def ends_in_order_wherever_it_is(arguments):
    """While daemons start, and in the midst of the replay, by Ctrl-C, by a signal to the script alone, or since the terminal is gone."""
    for until, number, code in (("Starting", signal.SIGINT, 130), ("Starting", signal.SIGTERM, 143),
                                ("Replaying", signal.SIGINT, 130), ("Replaying", signal.SIGTERM, 143),
                                ("Replaying", signal.SIGHUP, 129)):
        with Folder(arguments) as folder:
            folder.replay_slowly()
            process = folder.start("--net", "unix", "--daemons", "2", until=until)
            if number == signal.SIGINT:
                os.killpg(process.pid, number)
            else:
                process.send_signal(number)
            told, _ = process.communicate(timeout=60)
            assert process.returncode == code and not folder.left(), (until, process.returncode, told)
            assert "What the daemons say" not in told, told
            assert "everything has been taken down" in told and "The end of" not in told, told


def replay_says_that_it_goes_on(arguments):
    with Folder(arguments) as folder:
        folder.replay_slowly()
        process = folder.start("--net", "unix", "--daemons", "2", until="Replaying, ")
        os.killpg(process.pid, signal.SIGINT)
        process.communicate(timeout=60)


def down_acts_only_without_options(arguments):
    with Folder(arguments) as folder:
        (folder.path / "cairn-cluster.left").mkdir()
        (folder.path / "cairn-cluster.left" / "owner").write_text("0")
        assert "Usage: deploy/cluster/down" in folder.call(DOWN, "--help").stdout and folder.left()
        done = folder.call(DOWN, "--now")
        assert done.returncode != 0 and "there is no option '--now'" in done.stderr and folder.left(), done.stderr
        assert folder.call(DOWN).returncode == 0 and not folder.left()


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


def others_than_root_are_told_who_may(arguments):
    if os.geteuid() != 0 or not shutil.which("setpriv"):
        raise Skip("only root can start it as somebody else, by setpriv of util-linux")
    with Folder(arguments) as folder:
        folder.path.chmod(0o777)
        done = folder.call("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", UP, "--net", "namespaces")
        if "Permission denied" in done.stderr:
            raise Skip("the checkout cannot be read by others")
        assert "no network namespaces here: only root may make them" in done.stderr, done.stderr


def wrong_options_are_told(arguments):
    with Folder(arguments) as folder:
        for options, expected in ((("--daemons", "17"), "is not 1 to 16"), (("--net", "token-ring"), "'token-ring'"),
                                  (("--daemons", "0"), "is not 1 to 16"), (("--clients", "0"), "is not 1 to 999"),
                                  (("--limit", "some"), "no number of requests"),
                                  (("--memory", "3"), "did not start: cairnd: --memory"),
                                  (("--trace", "/no/such"), "cannot be read"),
                                  (("--save", "/no/such/figures.json"), "cannot be written"),
                                  (("--save", "/"), "cannot be written"), (("--memory",), "wants a value"),
                                  (("--trace", str(UP)), "the replay failed"),
                                  (("--fast",), "there is no option '--fast'")):
            done = folder.call(UP, *options)
            assert done.returncode != 0 and expected in done.stderr, (options, done.stderr)
            assert "Failed: " in done.stderr and "Next: " in done.stderr, (options, done.stderr)
            assert "Starting" not in done.stdout or options[0] in ("--memory", "--trace"), "found only after the start"
        assert not folder.left()


TESTS = [replays_by_unix_sockets, replays_by_loopback, replays_between_namespaces, ends_in_order_by_ctrl_c,
         ends_in_order_wherever_it_is, replay_says_that_it_goes_on, down_removes_what_a_kill_left,
         down_acts_only_without_options, others_than_root_are_told_who_may, wrong_options_are_told]

if __name__ == "__main__":
    sys.exit(main(__doc__, "LocalCluster", TESTS))
