"""The chart's arguments, rules and dashboard against a running daemon.

Usage: daemon_test.py BIN OUT
"""

import json
import os
import pathlib
import re
import shutil
import socket
import ssl
import sys
import tempfile
import urllib.request

sys.dont_write_bytecode = True
from harness import CHART, HERE, Daemon, Skip, check, main, pod_of, rendered, run, tool  # noqa: E402

RULES = CHART / "files" / "rules.yaml"


def fresh() -> pathlib.Path:
    """A short path: a socket's has at most 107 bytes."""
    return pathlib.Path(tempfile.mkdtemp(prefix="cairn-helm-"))


def daemon_takes_the_arguments(arguments):
    """What the chart passes is what this build knows, and it serves with it."""
    known = check([arguments.bin / "cairnd", "--help"], "cairnd --help")
    missing = set()
    for case in sorted((HERE / "values").glob("*.yaml")):
        for flag in pod_of(rendered(case))["containers"][0]["args"]:
            name = flag.split("=")[0]
            if not re.search(rf"{re.escape(name)}\b", known):
                missing.add(name)
    assert not missing, f"cairnd has no {sorted(missing)}"
    folder = fresh()
    try:
        flags = []
        for flag in pod_of(rendered(HERE / "values" / "plain.yaml"))["containers"][0]["args"]:
            flag = flag.replace("/run/cairn/", f"{folder}/").replace("/var/lib/cairn/", f"{folder}/")
            flags.append(re.sub(r"(--listen-(tcp|http))=.*", r"\1=127.0.0.1:0", flag))
        with Daemon(arguments.bin, folder, *flags) as daemon:
            told = check([arguments.bin / "cairnctl", "--connect", f"unix:{daemon.socket}", "--json", "config"],
                         "cairnctl config")
            assert str(2 * 2**30) in told and str(20 * 2**30) in told, told
            probe = pod_of(rendered(HERE / "values" / "plain.yaml"))["containers"][0]["readinessProbe"]
            command = probe["exec"]["command"]
            ready = {"CAIRN_CONNECT": f"unix:{daemon.socket}"}
            check([arguments.bin / command[0], *command[1:]], "the probe", environment=ready)
            daemon.process.terminate()
            assert daemon.process.wait(timeout=90) == 0, daemon.log.read_text()
            done = run(arguments.bin / command[0], *command[1:], environment=ready)
            assert done.returncode == 1, "the probe succeeds without a daemon"
    finally:
        shutil.rmtree(folder)


def daemon_takes_certificates_and_tenants(arguments):
    """With certificates in the place of the chart's secret, and as many bytes as a test may take."""
    folder = fresh()
    try:
        _, context = certificates(arguments, folder)
        if context is None:
            raise Skip("this build has no --tls-cert")
        for ours, name in (("daemon.crt", "tls.crt"), ("daemon.key", "tls.key")):
            (folder / "certificates" / ours).rename(folder / "certificates" / name)
        flags = []
        for flag in pod_of(rendered(HERE / "values" / "shared.yaml"))["containers"][0]["args"]:
            for theirs, here in (("/run/cairn/", f"{folder}/"), ("/var/lib/cairn/", f"{folder}/"),
                                 ("/etc/cairn/tls/", f"{folder}/certificates/")):
                flag = flag.replace(theirs, here)
            flag = re.sub(r"^(--memory|--ssd)=.*", r"\1=64MiB", flag)
            flags.append(re.sub(r"(--listen-(tcp|http))=.*", r"\1=127.0.0.1:0", flag))
        with Daemon(arguments.bin, folder, *flags) as daemon:
            page = f"https://127.0.0.1:{daemon.http_port()}/readyz"
            with urllib.request.urlopen(page, timeout=10, context=context) as answer:
                assert answer.status == 200
    finally:
        shutil.rmtree(folder)


def free_ports(count: int) -> list:
    """Of the loopback interface. All are held until all are known, so that none is named twice."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports


def pod_administers_all_members(arguments):
    """cairnctl with a pod's variables and socket, and the daemons with the chart's arguments."""
    for wanted in (True, False):
        folder = fresh()
        try:
            _, context = certificates(arguments, folder)
            if context is None:
                raise Skip("this build has no --tls-cert")
            container = pod_of(rendered("image.repository=registry.example.com/cairnd", "mode=statefulset",
                                        "replicas=2", f"membersAdmin={str(wanted).lower()}"))["containers"][0]
            ports = free_ports(2)

            def here(text: str, number: int) -> str:
                for theirs, ours in (("/run/cairn/", f"{folder}/{number}/"),
                                     ("/etc/cairn/tls/tls.", f"{folder}/certificates/daemon."),
                                     ("/etc/cairn/tls/", f"{folder}/certificates/"),
                                     ("spiffe://cluster.local/ns/serving/sa/cairn", "spiffe://cairn.dev/daemon")):
                    text = text.replace(theirs, ours)
                text = re.sub(r"cairn-(\d)\.cairn-daemons\.serving\.svc:7411",
                              lambda found: f"127.0.0.1:{ports[int(found[1])]}", text)
                text = re.sub(r"^(--memory)=.*", r"\1=64MiB", text)
                text = re.sub(r"^(--listen-http)=.*", r"\1=", text)
                return re.sub(r"^(--listen-tcp)=.*", rf"\1=127.0.0.1:{ports[number]}", text)

            daemons = []
            for number in (0, 1):
                (folder / str(number)).mkdir()
                daemons.append(Daemon(arguments.bin, folder / str(number),
                                      *(here(flag, number) for flag in container["args"])))
            variables = {one["name"]: here(one["value"], 0) for one in container["env"]}
            with daemons[0], daemons[1]:
                def cairnctl(*command):
                    return run(arguments.bin / "cairnctl", *command, environment=variables)

                told = cairnctl("--json", "members")
                states = {one["name"]: one["state"] for one in json.loads(told.stdout)["members"]}
                assert states == {"cairn-0": "serving", "cairn-1": "serving" if wanted else "refuses"}, told
                drained = cairnctl("drain", "--member", "cairn-1", "--wait")
                assert (drained.returncode == 0) == wanted, drained
                if wanted:
                    assert daemons[1].process.wait(timeout=60) == 0, daemons[1].log.read_text()
                assert daemons[1 - wanted].process.poll() is None, "left alone"
        finally:
            shutil.rmtree(folder)


def daemon_takes_the_folders_of_the_node(arguments):
    """As the user and with the capabilities of the pod, in a folder that was made as NOTES says."""
    if os.geteuid() != 0 or not shutil.which("setpriv"):
        raise Skip("only root can start a daemon as somebody else, by setpriv of util-linux")
    for value, owner in (("rdma.memlock=node", 65532), ("rdma.memlock=capability", 0)):
        pod = pod_of(rendered(HERE / "values" / "node.yaml", value))
        assert (pod["securityContext"]["runAsUser"], pod["securityContext"]["runAsGroup"]) == (owner, 65532)
        kept = pod["containers"][0]["securityContext"]["capabilities"].get("add", [])
        bounds = ",".join(["-all"] + [f"+{name.lower()}" for name in kept])
        starter = ("setpriv", f"--reuid={owner}", "--regid=65532", "--clear-groups", "--inh-caps=-all",
                   f"--bounding-set={bounds}", "--no-new-privs")
        for whose in (owner, 65532 - owner):
            folder = fresh()
            folder.chmod(0o711)
            try:
                check(["install", "-d", "-o", whose, "-g", "65532", "-m", "0750", folder / "run"], "install")
                daemon = Daemon(arguments.bin, folder, f"--listen-unix={folder}/run/cairn.sock", "--memory=64MiB",
                                "--listen-tcp=", "--listen-http=", starter=starter)
                daemon.socket = folder / "run" / "cairn.sock"
                try:
                    with daemon:
                        assert whose == owner, f"uid {owner} needs no folder of its own"
                        socket = daemon.socket.stat()
                        assert (socket.st_uid, socket.st_gid, socket.st_mode & 0o777) == (owner, 65532, 0o660)
                except AssertionError as error:
                    assert whose != owner and "Permission denied" in str(error), error
            finally:
                shutil.rmtree(folder)


def certificates(arguments, folder: pathlib.Path):
    """Flags of a daemon with TLS and what its scraper shows; nothing where the build has none."""
    if "--tls-cert" not in check([arguments.bin / "cairnd", "--help"], "cairnd --help"):
        return [], None
    check([arguments.bin / "cairnctl", "cert", "dev", "--out", folder / "certificates"], "cairnctl cert dev")
    made = folder / "certificates"
    context = ssl.create_default_context(cafile=str(made / "ca.crt"))
    context.load_cert_chain(made / "engine.crt", made / "engine.key")
    return [f"--tls-cert={made}/daemon.crt", f"--tls-key={made}/daemon.key", f"--tls-ca={made}/ca.crt"], context


def exposition(arguments) -> str:
    """/metrics of a daemon with every tier, the planner that learns, and TLS where the build has it."""
    if not hasattr(arguments, "exposition"):
        folder = fresh()
        try:
            flags, context = certificates(arguments, folder)
            arguments.with_tls = context is not None
            with Daemon(arguments.bin, folder, *flags, f"--listen-unix={folder}/cairn.sock", "--memory=64MiB",
                        f"--ssd-path={folder}/ssd", "--ssd=64MiB", "--planner=trie", "--gpu=fake",
                        "--gpu-memory=16MiB", "--listen-tcp=", "--listen-http=127.0.0.1:0") as daemon:
                page = f"{'https' if context else 'http'}://127.0.0.1:{daemon.http_port()}/metrics"
                with urllib.request.urlopen(page, timeout=10, context=context) as page:
                    arguments.exposition = page.read().decode()
        finally:
            shutil.rmtree(folder)
        (arguments.out / "metrics.txt").write_text(arguments.exposition, encoding="utf-8")
    return arguments.exposition


def exposition_is_sound(arguments):
    check([tool("promtool"), "check", "metrics"], "promtool check metrics", stdin=exposition(arguments))


def metric_names(arguments) -> set:
    names = set(re.findall(r"^(cairn_[a-z0-9_]+)[{ ]", exposition(arguments), re.M))
    assert len(names) > 50, names
    return names


def unknown_in(text: str, arguments) -> list:
    """Metrics in `text` that the daemon does not have; those of TLS count where the build has it."""
    missing = set(re.findall(r"\bcairn_[a-z0-9_]+\b", text)) - metric_names(arguments)
    return sorted(name for name in missing if arguments.with_tls or not name.startswith("cairn_tls_"))


def rules_are_sound(arguments):
    check([tool("promtool"), "check", "rules", RULES], "promtool check rules")
    unknown = unknown_in(RULES.read_text(encoding="utf-8"), arguments)
    assert not unknown, f"rules ask for {unknown}, which no daemon has"


def rules_fire(arguments):
    """Each alert on the series that it is about, and silence on a sound daemon."""
    told = check([tool("promtool"), "test", "rules", HERE / "rules_test.yaml"], "promtool test rules")
    assert "SUCCESS" in told, told
    alerts = set(re.findall(r"- alert: (\w+)", RULES.read_text(encoding="utf-8")))
    tested = set(re.findall(r'alertname="(\w+)"', (HERE / "rules_test.yaml").read_text(encoding="utf-8")))
    assert alerts <= tested, f"no test for {sorted(alerts - tested)}"


def dashboard_is_sound(arguments):
    """It asks for what there is, in PromQL, and its panels do not lie on each other."""
    dashboard = json.loads((CHART / "files" / "dashboard.json").read_text(encoding="utf-8"))
    queries, taken = [], set()
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"])
                 for y in range(place["y"], place["y"] + place["h"])}
        assert not cells & taken and place["x"] + place["w"] <= 24, panel["title"]
        taken |= cells
        queries += [target["expr"] for target in panel.get("targets", [])]
    variables = [one["query"] for one in dashboard["templating"]["list"]]
    unknown = unknown_in(" ".join(queries + variables), arguments)
    assert not unknown, f"the dashboard asks for {unknown}, which no daemon has"
    rules = "groups:\n- name: dashboard\n  rules:\n"
    for i, query in enumerate(queries):
        query = query.replace("$__rate_interval", "5m").replace("$job", ".*").replace("$instance", ".*")
        rules += f"  - record: panel_{i}\n    expr: {json.dumps(query)}\n"
    file = arguments.out / "dashboard-rules.yaml"
    file.write_text(rules, encoding="utf-8")
    check([tool("promtool"), "check", "rules", file], "the dashboard's queries")


TESTS = [daemon_takes_the_arguments, daemon_takes_certificates_and_tenants, pod_administers_all_members,
         daemon_takes_the_folders_of_the_node, exposition_is_sound, rules_are_sound, rules_fire, dashboard_is_sound]

if __name__ == "__main__":
    sys.exit(main(__doc__, "ChartWithDaemon", TESTS))
