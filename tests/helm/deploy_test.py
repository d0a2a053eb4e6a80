"""The systemd unit, the compose file and the Dockerfile, as far as they can be judged without running them.

Usage: deploy_test.py BIN OUT
"""

import re
import sys

sys.dont_write_bytecode = True
from harness import SOURCE, Skip, check, main, run, tool  # noqa: E402

SYSTEMD = SOURCE / "deploy" / "systemd"
COMPOSE = SOURCE / "deploy" / "compose" / "compose.yaml"
DOCKERFILE = SOURCE / "deploy" / "images" / "Dockerfile"
# Of 10; a unit without any hardening has 9.6.
MOST_EXPOSED = 1.6


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
    gpu = arguments.out / "cairnd-gpu.service"
    gpu.write_text(unit.read_text() + (SYSTEMD / "cairnd-gpu.conf").read_text(encoding="utf-8"), encoding="utf-8")
    done = systemd_analyze("verify", "--man=no", gpu)
    assert done.returncode == 0 and not done.stderr, done.stderr


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
    broken = arguments.out / "compose.yaml"
    broken.write_text(COMPOSE.read_text(encoding="utf-8").replace("read_only:", "readonly:"), encoding="utf-8")
    assert run(checks, "compose", broken, "CAIRN_USER=1:1", "HOME=/").returncode == 1


def compose_passes_known_options(arguments):
    known = check([arguments.bin / "cairnd", "--help"], "cairnd --help")
    for name in re.findall(r"- (--[a-z-]+)=", COMPOSE.read_text(encoding="utf-8")):
        assert re.search(rf"{re.escape(name)}\b", known), name


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


TESTS = [unit_is_valid, unit_is_closed, unit_gives_time_to_stop, configuration_is_taken,
         compose_file_is_valid, compose_passes_known_options, image_is_closed]

if __name__ == "__main__":
    sys.exit(main(__doc__, "Deploy", TESTS))
