"""The systemd unit, the compose file and the Dockerfile, as far as they can be judged without running them.

Usage: deploy_test.py BIN OUT
"""

import re
import shutil
import sys

sys.dont_write_bytecode = True
from harness import SOURCE, Skip, check, main, run, tool  # noqa: E402

SYSTEMD = SOURCE / "deploy" / "systemd"
COMPOSE = SOURCE / "deploy" / "compose" / "compose.yaml"
DOCKERFILE = SOURCE / "deploy" / "images" / "Dockerfile"
# Of 10; a unit without any hardening has 9.6.
MOST_EXPOSED = 1.6
# Not found by that name in a package.
LOADER = {"ld-linux-x86-64.so.2"}


def systemd_analyze(*command):
    try:
        return run("systemd-analyze", *command)
    except FileNotFoundError:
        raise Skip("systemd-analyze is not here: apt-get install systemd") from None


def unit_is_valid(arguments):
    """With this build's cairnd in the place where a package would put it."""
    unit = arguments.out / "cairnd.service"
    text = (SYSTEMD / "cairnd.service").read_text(encoding="utf-8")
    unit.write_text(text.replace("/usr/bin/cairnd", str(arguments.bin.resolve() / "cairnd")), encoding="utf-8")
    done = systemd_analyze("verify", "--man=no", unit)
    assert done.returncode == 0 and not done.stderr, done.stderr
    for more in (("gpu",), ("rdma",), ("gpu", "rdma")):
        whole = arguments.out / f"cairnd-{'-'.join(more)}.service"
        whole.write_text(unit.read_text() + "".join((SYSTEMD / f"cairnd-{one}.conf").read_text(encoding="utf-8")
                                                    for one in more), encoding="utf-8")
        done = systemd_analyze("verify", "--man=no", whole)
        assert done.returncode == 0 and not done.stderr, done.stderr


def devices_are_reached_where_they_are_asked_for(arguments):
    """The unit alone hides them; each addition opens its own and nothing else."""
    unit = (SYSTEMD / "cairnd.service").read_text(encoding="utf-8")
    assert "\nPrivateDevices=yes\n" in unit and "DeviceAllow=" not in unit
    for name, device in (("gpu", "char-nvidia-"), ("rdma", "char-infiniband_verbs")):
        addition = (SYSTEMD / f"cairnd-{name}.conf").read_text(encoding="utf-8")
        assert "\nPrivateDevices=no\nDevicePolicy=closed\n" in addition, name
        opened = re.findall(r"^DeviceAllow=(\S+) rw$", addition, re.M)
        assert opened and all(one.startswith(device) for one in opened), opened
        assert f"cairnd-{name}.conf" in unit, "nobody is told of it"


def unit_is_closed(arguments):
    done = systemd_analyze("security", "--offline=yes", f"--threshold={int(10 * MOST_EXPOSED)}",
                           SYSTEMD / "cairnd.service")
    found = re.search(r"exposure level.*: ([\d.]+)", done.stdout)
    assert found, done.stdout + done.stderr
    assert done.returncode == 0 and float(found.group(1)) <= MOST_EXPOSED, found.group(0)
    print(found.group(0))


def unit_gives_time_to_stop(arguments):
    """A daemon drains for drain-ms (5 s), then writes to the SSD for a minute at most."""
    text = (SYSTEMD / "cairnd.service").read_text(encoding="utf-8")
    assert int(re.search(r"^TimeoutStopSec=(\d+)$", text, re.M).group(1)) > 65
    assert "RestartPreventExitStatus=2\n" in text, "wrong options would be tried for ever"


def configuration_is_taken(arguments):
    """cairnd reads the example: with its lines switched on it gets as far as to find no folder."""
    example = (SYSTEMD / "cairn.toml").read_text(encoding="utf-8")
    file = arguments.out / "cairn.toml"
    for text in (example, re.sub(r"^# (?=ssd)", "", example, flags=re.M)):
        file.write_text(text + 'log-level = "no level"\n', encoding="utf-8")
        done = run(arguments.bin / "cairnd", "--config", file)
        assert done.returncode == 2 and "log-level" in done.stderr, done.stderr


def compose_file_is_valid(arguments):
    """By the library that `docker compose config` is made of."""
    checks = tool("checks")
    check([checks, "compose", COMPOSE, "CAIRN_USER=1000:1000", "HOME=/home/me"], "the compose file")
    done = run(checks, "compose", COMPOSE, "HOME=/home/me")
    assert done.returncode == 1 and "CAIRN_USER" in done.stdout, "nobody is told to set CAIRN_USER"
    mine = ("CAIRN_USER=1000:1000", "HOME=/home/me", "CAIRN_MEMORY=8GiB")
    done = run(checks, "compose", COMPOSE, *mine)
    assert done.returncode == 1 and "CAIRN_MEMORY_LIMIT" in done.stdout + done.stderr, \
        "a larger memory would be killed at the limit of the smaller one"
    for given, limit in ((mine[:2], 2456), ((*mine, "CAIRN_MEMORY_LIMIT=8624m"), 8624),
                         ((*mine[:2], "CAIRN_MEMORY_LIMIT=3g"), 3072)):
        told = check([checks, "compose", COMPOSE, *given], "the compose file")
        assert f"mem_limit={limit * 2**20}\n" in told, told
    broken = arguments.out / "compose.yaml"
    broken.write_text(COMPOSE.read_text(encoding="utf-8").replace("read_only:", "readonly:"), encoding="utf-8")
    assert run(checks, "compose", broken, "CAIRN_USER=1:1", "HOME=/").returncode == 1


def compose_passes_known_options(arguments):
    known = check([arguments.bin / "cairnd", "--help"], "cairnd --help")
    for name in re.findall(r"- (--[a-z-]+)=", COMPOSE.read_text(encoding="utf-8")):
        assert re.search(rf"{re.escape(name)}\b", known), name


def page_names_the_packages(arguments):
    """What the programs link themselves, but for what no Debian is without; the rest comes with that."""
    if not shutil.which("dpkg-query") or not shutil.which("readelf"):
        raise Skip("dpkg-query and readelf are not here: this is no Debian, or apt-get install binutils")
    needed = set()
    for program in ("cairnd", "cairnctl"):
        told = check(["readelf", "-d", arguments.bin / program], "readelf")
        needed |= set(re.findall(r"NEEDED.*\[(\S+)\]", told))
    assert needed, "the programs link nothing"
    # Where the library for this machine is: those of 32 bits have the same names.
    found = check(["dpkg-query", "--search", *(f"*-linux-gnu/{name}" for name in sorted(needed - LOADER))], "dpkg-query")
    packages = {line.split(":")[0] for line in found.splitlines()} - {"libc6", "libstdc++6", "libgcc-s1"}
    page = (SOURCE / "deploy" / "README.md").read_text(encoding="utf-8")
    named = set(re.search(r"^ {4}apt-get install (.*)$", page, re.M).group(1).split())
    assert named == packages, f"missing: {sorted(packages - named)}; too many: {sorted(named - packages)}"


def pages_options_are_taken(arguments):
    """What deploy/README.md gives to cairnd in a container. There can be no such socket, so it ends at once, with
    1 if the options were right."""
    page = (SOURCE / "deploy" / "README.md").read_text(encoding="utf-8").replace("\\\n", " ")
    runs = re.findall(r"^ {4}docker run (.*) cairnd:\S+ (.*)$", page, re.M)
    assert len(runs) == 2, runs
    for docker, options in runs:
        for closed in ("--read-only", "--cap-drop all", "--security-opt no-new-privileges", "--stop-timeout 70"):
            assert closed in docker, docker
        options = options.replace("/var/lib/cairn", str(arguments.out.resolve())).replace("100GiB", "64MiB")
        done = run(arguments.bin / "cairnd", "--listen-unix=/dev/null/cairn.sock", *options.split())
        assert done.returncode == 1, (options, done.returncode, done.stderr)


def image_is_closed(arguments):
    """What smoke checks by running; here, that nobody takes it out."""
    text = DOCKERFILE.read_text(encoding="utf-8")
    runtime = text.split("AS runtime")[1]
    for line in ("USER 65532:65532", "STOPSIGNAL SIGTERM", "HEALTHCHECK ", 'ENTRYPOINT ["cairnd"]'):
        assert line in runtime, f"{line} is not in the runtime image"
    assert not re.search(r"^(ADD|EXPOSE) ", text, re.M)
    for folder in re.findall(r"^COPY ([a-z]+) \1$", text, re.M):
        assert (SOURCE / folder).is_dir() and f"!{folder}\n" in \
            DOCKERFILE.with_name("Dockerfile.dockerignore").read_text(encoding="utf-8"), folder


TESTS = [unit_is_valid, devices_are_reached_where_they_are_asked_for, unit_is_closed, unit_gives_time_to_stop,
         configuration_is_taken, compose_file_is_valid, compose_passes_known_options,
         page_names_the_packages, pages_options_are_taken, image_is_closed]

if __name__ == "__main__":
    sys.exit(main(__doc__, "Deploy", TESTS))
