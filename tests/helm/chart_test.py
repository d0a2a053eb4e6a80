"""The chart, as Helm renders it: valid, safe, as it was, and refused where values contradict each other.

Usage: chart_test.py BIN OUT [--regenerate]
"""

import itertools
import re
import shutil
import sys

sys.dont_write_bytecode = True
from harness import (CHART, GOLDEN, HERE, SOURCE, TOOLS, Skip, check, main, objects, of_kind, pod_of,  # noqa: E402
                     reaches_into_node, render, rendered, run, tool)

CASES = sorted((HERE / "values").glob("*.yaml"))
IMAGE = "image.repository=registry.example.com/cairnd"
PLAIN = ("tls.mode=none", "tls.acceptPlainText=true")
RDMA = ("rdma.enabled=true", "rdma.resource=rdma/x")
SOCKET = ("unixSocket.hostPath=/run/cairn", "podSecurity=privileged")
TENANT = ("tenants[0].name=a", "tenants[0].identities[0]=spiffe://x/a")
# Sets of values, one of each row in every combination.
AXES = (
    (("mode=daemonset",), ("mode=statefulset", "replicas=5")),
    ((), PLAIN, ("tls.mode=secret", "tls.secretName=certificates"), ("tls.mode=spiffe",)),
    ((), ("ssd.size=100G", "ssd.volume=emptyDir"), ("ssd.size=1Ti", "ssd.volume=ephemeral"),
     ("ssd.size=64Mi", "ssd.volume=pvc", "ssd.storageClass=fast")),
    ((), ("gpu.enabled=true", "gpu.memory=4Gi", "rdma.enabled=true", "rdma.resource=rdma/hca", *TENANT,
          "planner=trie", "networkPolicy.enabled=false", "podDisruptionBudget.enabled=false",
          "serviceMonitor.enabled=true", "serviceMonitor.tlsConfig.insecureSkipVerify=true",
          "prometheusRule.enabled=true", "dashboard.enabled=true", "serviceAccount.create=false",
          "settings.threads=8", "resources.cpu.limit=4", r"resources.extra.example\.com/device=1")),
)
# Values, and what the refusal must say: what is wrong, and a way out.
REFUSED = (
    ((), "image.repository: from where"),
    *(((f"image.repository=registry.example.com/cairnd{more}",), f"says with '{more}' already which image")
      for more in (":0.1.0", "@sha256:" + "0" * 64)),
    ((IMAGE, "memory=64"), "memory: 64 is too little"),
    ((IMAGE, "resources.memoryLimit=1000"), "resources.memoryLimit: 1000 is less than"),
    ((IMAGE, "ssd.size=64"), "ssd.size: 64 is too little"),
    ((IMAGE, "gpu.enabled=true", "gpu.memory=64"), "gpu.memory: 64 is too little"),
    ((IMAGE, "memory=lots"), "memory: 'lots' is not a size; write for example 512Mi or 4Gi"),
    ((IMAGE, "memory=1.5Gi"), "in whole numbers"),
    ((IMAGE, "memory=16Mi"), "memory: 16Mi is too little; give at least 32Mi"),
    ((IMAGE, "memory=8Gi", "resources.memoryLimit=8Gi"), "add up to 8480Mi"),
    ((IMAGE, "shutdown.gracePeriodSeconds=30"), "add up to 73"),
    ((IMAGE, "drainMs=60000", "shutdown.gracePeriodSeconds=90"), "is too short"),
    ((IMAGE, "image.tag=1", "image.digest=sha256:" + "0" * 64), "image.tag and image.digest"),
    ((IMAGE, "ssd.volume=ephemeral"), "ssd.size is empty"),
    ((IMAGE, "ssd.size=1Mi"), "give at least 16Mi"),
    ((IMAGE, "ssd.size=1Gi", "ssd.volume=pvc"), "pvc is for mode statefulset"),
    ((IMAGE, "ssd.size=1Gi", "ssd.volume=hostPath"), "which folder of the node"),
    ((IMAGE, "ssd.size=1Gi", "ssd.volume=hostPath", "ssd.hostPath=/mnt"), "Pod Security 'restricted' forbids"),
    ((IMAGE, "ssd.size=1Gi", "ssd.hostPath=/mnt"), "ssd.volume is emptyDir; set ssd.volume=hostPath"),
    ((IMAGE, "ssd.size=1Gi", "ssd.storageClass=fast"), "makes no claim"),
    ((IMAGE, "gpu.enabled=true"), "gpu.memory: how much GPU memory"),
    ((IMAGE, "gpu.memory=4Gi"), "gpu.enabled is false"),
    ((IMAGE, "gpu.enabled=true", "gpu.memory=1Mi"), "give at least 8Mi"),
    ((IMAGE, "rdma.enabled=true"), "rdma.resource: what does the device plugin call"),
    ((IMAGE, *RDMA), "only with engines whose identity `tenants` names, and it is empty"),
    *(((IMAGE, *RDMA, *TENANT, f"rdma.transports={one}"), "has tcp in it")
      for one in (r"rc\,tcp", "all", "*", "^ib", r"tcp:rc\,ud", "sockcm", r"rc\, ud")),
    ((IMAGE, *RDMA, *PLAIN), "the card would be taken and never used"),
    ((IMAGE, "rdma.resource=rdma/x"), "rdma.resource is given, but rdma.enabled is false"),
    ((IMAGE, "rdma.transports=rc"), "rdma.transports is given, but rdma.enabled is false"),
    ((IMAGE, "rdma.count=2"), "rdma.count is 2, but rdma.enabled is false"),
    ((IMAGE, "gpu.runtimeClassName=nvidia"), "gpu.runtimeClassName is given, but gpu.enabled is false"),
    ((IMAGE, "rdma.memlock=capability"), "rdma.enabled is false"),
    ((IMAGE, *RDMA, *TENANT, "rdma.memlock=capability"), "raise the node's limit"),
    *(((IMAGE, f"resources.extra.{name}=1Gi"), f"resources.extra.{name}: it is for what device plugins offer")
      for name in ("cpu", "memory", "ephemeral-storage", "hugepages-2Mi")),
    ((IMAGE, *RDMA, "resources.extra.rdma/x=1"), "rdma/x is asked for by rdma.enabled already; use rdma.count"),
    ((IMAGE, "gpu.enabled=true", "gpu.memory=1Gi", r"resources.extra.nvidia\.com/gpu=1"),
     "nvidia.com/gpu is asked for by gpu.enabled already; use gpu.count"),
    ((IMAGE, "resources.cpu.request=3", "resources.cpu.limit=2500m"), "the limit, 2500m, is less than the request, 3"),
    ((IMAGE, "resources.cpu.request=many"), "is no number of cores; write for example 2, 1.5 or 500m"),
    ((IMAGE, "resources.cpu.request="), "is no number of cores"),
    ((IMAGE, "unixSocket.hostPath=/run/cairn"), "let engines connect by TCP"),
    ((IMAGE, "unixSocket.hostPath=/run/cairn", "podSecurity=privileged", "mode=statefulset"),
     "fight for one socket"),
    ((IMAGE, *SOCKET, *TENANT), "tenants and unixSocket.hostPath cancel each other"),
    ((IMAGE, *SOCKET, "unixSocket.trustAll=true"), "one of them is empty; leave it false"),
    ((IMAGE, *TENANT, "unixSocket.trustAll=true"), "one of them is empty; leave it false"),
    ((IMAGE, "tls.mode=none"), "sends everything as plain text"),
    ((IMAGE, "tls.duration=soon"), "'soon' is no duration; write for example 2160h or 90m"),
    ((IMAGE, "tls.duration="), "is no duration"),
    ((IMAGE, "tls.mode=spiffe", "tls.duration=90d"), "tls.duration: '90d' is no duration"),
    ((IMAGE, "tls.mode=spiffe", "tls.renewBefore=1h"), "it is for certManager"),
    ((IMAGE, "tls.duration=30m"), "cert-manager wants at least 1h"),
    ((IMAGE, "tls.duration=24h", "tls.renewBefore=720h"), "720h is not less than tls.duration, 24h"),
    ((IMAGE, "tls.renewBefore=1m30s"), "1m30s is too short"),
    ((IMAGE, "tls.duration=6h", "tls.renewBefore=59m", "prometheusRule.enabled=true"),
     "CairnCertificateExpires would fire before each renewal"),
    ((IMAGE, "tls.renewBefore=71h", "prometheusRule.enabled=true"), "would fire before each renewal"),
    ((IMAGE, "tls.acceptPlainText=true"), "tls.mode is certManager"),
    ((IMAGE, "tls.mode=secret"), "which secret has the daemon's tls.crt"),
    ((IMAGE, "tls.secretName=x"), "set tls.mode=secret"),
    ((IMAGE, "tls.mode=spiffe", "tls.issuerRef.name=x"), "it is for certManager"),
    ((IMAGE, *PLAIN, "admins[0]=spiffe://x/a"), "without certificates nobody is known"),
    ((IMAGE, *PLAIN, "tenants[0].name=a", "tenants[0].identities[0]=spiffe://x/a"),
     "a tenant is known by its certificate"),
    ((IMAGE, "tenants[0].name=a"), "neither identities nor certificate"),
    ((IMAGE, "tls.mode=spiffe", "tenants[0].name=a", "tenants[0].certificate=true"),
     "give its identities instead"),
    ((IMAGE, "tenants[0].name=a", "tenants[0].certificate=true", "tenants[1].name=a",
      "tenants[1].certificate=true"), "'a' is there twice"),
    ((IMAGE, "tenants[0].name=a", "tenants[0].identities[0]=spiffe://x/y", "tenants[1].name=b",
      "tenants[1].identities[0]=spiffe://x/y"), "an identity is of one tenant"),
    ((IMAGE, *TENANT, "tenants[0].certificate=true", "tenants[1].name=b",
      "tenants[1].identities[0]=spiffe://cluster.local/cairn/tenant/a"), "is given to 'a' and to 'b'"),
    ((IMAGE, "tenants[0].name=b", "tenants[0].identities[0]=A.Example", "tenants[1].name=c",
      "tenants[1].identities[0]=a.example"), "is given to 'b' and to 'c'"),
    ((IMAGE, "tenants[0].name=a", "tenants[0].identities[0]=x=b"), "is no identity"),
    *(((IMAGE, "tenants[0].name=a", f"tenants[0].identities[0]={one}"), "a * stands for what is below a path")
      for one in ("spiffe://x/acme*", "spiffe://x/*/y", "*.acme.example", "spiffe://x/*/*")),
    ((IMAGE, "admins[0]=spiffe://x/*"), "'spiffe://x/*' is not one identity"),
    ((IMAGE, "listen.port=7412"), "both 7412"),
    *(((IMAGE, f"listen.host={host}"), f"no other pod would reach '{host}'")
      for host in ("127.0.0.1", "localhost", "[::1]", "10.0.0.1", "::", "")),
    *(((IMAGE, f"serviceMonitor.interval={wrong}"), f"'{wrong}' is no duration of Prometheus")
      for wrong in ("soon", "30x", "")),
    ((IMAGE, "networkPolicy.engines=null"), "no engine could connect"),
    ((IMAGE, "serviceMonitor.enabled=true", "networkPolicy.prometheus=null"), "Prometheus could not connect"),
    ((IMAGE, "tls.mode=spiffe", "serviceMonitor.enabled=true"), "asks for a client certificate"),
    ((IMAGE, "mode=statefulset", "podDisruptionBudget.maxUnavailable=0"), "could ever be drained"),
    ((IMAGE, "mode=statefulset", "podDisruptionBudget.maxUnavailable=0%"), "could ever be drained"),
    ((IMAGE, "settings.memory=1GiB"), "the chart has a value of its own for that, memory"),
    ((IMAGE, "settings.--lease-ms=1"), "without the dashes"),
    ((IMAGE, "settings.nonsense=3"), "settings.nonsense: there is no such setting of cairnd"),
    ((IMAGE, "planner=foo"), "planner: cairnd has no 'foo'; write trie, none, "),
    ((IMAGE, "ssd.codec=zip"), "ssd.codec: cairnd has no 'zip'; write none, lossless, "),
    ((IMAGE, "settings.ucx-allow-insecure-tcp=true"), "could read and write the daemon's memory"),
    # By the schema: what is misspelt, or of another type.
    ((IMAGE, "memori=4Gi"), "memori"),
    ((IMAGE, "mode=deployment"), "'daemonset', 'statefulset'"),
    ((IMAGE, "replicas=0"), "/replicas"),
    ((IMAGE, "tls.mode=ssl"), "'certManager', 'spiffe', 'secret', 'none'"),
    ((IMAGE, "gpu.enabled=maybe"), "/gpu/enabled"),
    ((IMAGE, "tenants[0].name=A_B", "tenants[0].certificate=true"), "/tenants/0/name"),
)


def combinations() -> list:
    chosen = []
    for parts in itertools.product(*AXES):
        values = (IMAGE, *itertools.chain(*parts))
        if "mode=daemonset" in values and "ssd.volume=pvc" in values:
            continue  # Refused: REFUSED has it.
        if "tls.mode=none" in values:
            values = tuple(value for value in values if not value.startswith(("rdma.", "tenants")))  # The same.
        chosen.append(values)
    return chosen


def write_all(arguments) -> list:
    """Renders every case and combination into files of their own, once."""
    folder = arguments.out / "rendered"
    if not hasattr(arguments, "files"):
        folder.mkdir(exist_ok=True)
        for old in folder.iterdir():
            old.unlink()
        for case in CASES:
            (folder / case.name).write_text(rendered(case), encoding="utf-8")
        for i, values in enumerate(combinations()):
            (folder / f"combination-{i}.yaml").write_text(
                f"# {' '.join(values)}\n{rendered(*values)}", encoding="utf-8")
        arguments.files = sorted(folder.iterdir())
    return arguments.files


def lint_is_clean(arguments):
    for case in CASES:
        check([tool("helm"), "lint", "--strict", "--quiet", CHART, "--values", case], f"helm lint {case.name}")


def objects_fit_the_schemas(arguments):
    """Kubernetes' own kinds against its schemas, the others against the types of their projects."""
    schemas = TOOLS / "schemas"
    if not schemas.is_dir():
        raise Skip("the schemas of Kubernetes are not here: ./dev setup helm derives them")
    files = write_all(arguments)
    ours = "Issuer,Certificate,ServiceMonitor,PrometheusRule"
    told = check([tool("kubeconform"), "-strict", "-summary", "-skip", ours, "-schema-location",
                  f"{schemas}/{{{{.ResourceKind}}}}{{{{.KindSuffix}}}}.json", *files], "kubeconform")
    assert re.search(r"Valid: [1-9]\d*, Invalid: 0, Errors: 0", told), told
    check([tool("checks"), "custom", *files], "kinds of cert-manager and Prometheus' operator")
    print(told.strip())


def schemas_notice_what_is_wrong(arguments):
    """A check of the check: a field that does not exist, and one of another type."""
    text = rendered(HERE / "values" / "minimal.yaml")
    for wrong in (text.replace("readOnlyRootFilesystem: true", "readOnlyRoot: true"),
                  text.replace("hostname: ", "hostname: [").replace("runAsUser: 65532", "runAsUser: me")):
        assert wrong != text
        done = run(tool("kubeconform"), "-strict", "-skip", "Issuer,Certificate", "-schema-location",
                   f"{TOOLS}/schemas/{{{{.ResourceKind}}}}{{{{.KindSuffix}}}}.json", "-", stdin=wrong)
        assert done.returncode != 0, "kubeconform accepts a field that does not exist"
    wrong = text.replace("secretName: cairn-tls", "secret: cairn-tls")
    assert run(tool("checks"), "custom", "-", stdin=wrong).returncode == 1


def pods_are_restricted(arguments):
    """All but those that say of themselves that they are not."""
    others = [case.name for case in CASES if reaches_into_node(case)]
    files = [file for file in write_all(arguments) if file.name not in others]
    check([tool("checks"), "pod-security", "restricted", *files], "Pod Security restricted")
    told = run(tool("checks"), "pod-security", "restricted", arguments.out / "rendered" / "node.yaml").stdout
    for expected in ("hostPath", "runAsUser=0", "IPC_LOCK"):
        assert expected in told, f"{expected} is not noticed: {told}"


def renders_are_as_they_were(arguments):
    different = []
    for case in CASES:
        if case.stem == "monitored":
            continue  # Most of it is the dashboard.
        text = rendered(case)
        golden = GOLDEN / case.name
        if arguments.regenerate:
            golden.parent.mkdir(exist_ok=True)
            golden.write_text(text, encoding="utf-8")
        elif not golden.exists() or golden.read_text(encoding="utf-8") != text:
            now = arguments.out / case.name
            now.write_text(text, encoding="utf-8")
            different.append(f"diff {golden} {now}")
    assert not different, ("what the chart renders has changed; look at it by\n" + "\n".join(different) +
                           f"\nand if it is right: {sys.argv[0]} BIN OUT --regenerate")


def contradictions_are_refused(arguments):
    wrong = []
    for values, expected in REFUSED:
        done = render(*values)
        if done.returncode == 0:
            wrong.append(f"{values} is not refused")
        elif expected not in done.stderr:
            wrong.append(f"{values} is refused by\n{done.stderr}instead of '{expected}'")
    assert not wrong, "\n".join(wrong)


def missing_kinds_are_told(arguments):
    """Connected to a cluster without cert-manager or Prometheus' operator; Helm then knows kinds."""
    for flags, values, expected in (
            ((), (), "cert-manager is not in this cluster"),
            (("--api-versions", "cert-manager.io/v1/Certificate"), ("serviceMonitor.enabled=true",),
             "no Prometheus operator"),
            (("--api-versions", "cert-manager.io/v1/Certificate"), ("prometheusRule.enabled=true",),
             "no Prometheus operator")):
        sets = [part for value in (IMAGE, *values) for part in ("--set", value)]
        done = run(tool("helm"), "template", "cairn", CHART, "--kube-version", "1.36", "--api-versions", "v1/Pod",
                   *flags, *sets)
        assert done.returncode != 0 and expected in done.stderr, done.stderr


def limits_agree_with_the_options(arguments):
    """The container's limit is what docs/operations.md adds up; the volume holds the cap."""
    for values, mebibytes in (
            (("memory=4Gi",), 4096 + 64 + 64 + 16 + 128),
            (("memory=4Gi", "planner=trie"), 4096 + 64 + 64 + 16 + 128 + 4 * 32),
            (("memory=1G", "index=1Gi", "headroom=0"), -(-(10**9 + 10**9 // 256) // 2**20) + 1024 + 64),
            (("memory=4Gi", "gpu.enabled=true", "gpu.memory=1Gi"), 4096 + 64 + 64 + 16 + 128 + 16 + 512),
            (("memory=4GiB", "resources.memoryLimit=6Gi"), 6144)):
        container = pod_of(rendered(IMAGE, *values))["containers"][0]
        expected = f"{mebibytes}Mi"
        for which in ("requests", "limits"):
            assert container["resources"][which]["memory"] == expected, (values, container["resources"])
    pod = pod_of(rendered(IMAGE, "ssd.size=100Gi"))
    disk = [one for one in pod["volumes"] if one["name"] == "ssd"][0]["emptyDir"]["sizeLimit"]
    assert disk == f"{102400 + 5120 + 64 + 256}Mi", disk
    assert pod["containers"][0]["resources"]["limits"]["ephemeral-storage"] == disk
    assert f"--ssd={100 * 2**30}" in pod["containers"][0]["args"]


def numbers_are_written_as_they_were(arguments):
    """Helm reads a plain number in a file of values as a float, which would be written 1e+09."""
    case = arguments.out / "numbers.yaml"
    case.write_text("image: {repository: registry.example.com/cairnd, tag: 20261122}\nmemory: 1000000000\n"
                    "settings: {lease-ms: 30000000}\nresources: {extra: {example.com/device: 4000000}}\n",
                    encoding="utf-8")
    container = pod_of(rendered(case))["containers"][0]
    assert container["image"] == "registry.example.com/cairnd:20261122", container["image"]
    assert {"--memory=1000000000", "--lease-ms=30000000"} <= set(container["args"]), container["args"]
    assert str(container["resources"]["limits"]["example.com/device"]) == "4000000", container["resources"]


def pods_stop_in_order(arguments):
    pod = pod_of(rendered(IMAGE, "drainMs=20500", "shutdown.preStopSeconds=7"))
    assert pod["terminationGracePeriodSeconds"] == 7 + 21 + 65, pod["terminationGracePeriodSeconds"]
    assert pod["containers"][0]["lifecycle"]["preStop"] == {"sleep": {"seconds": 7}}
    assert "--drain-ms=20500" in pod["containers"][0]["args"]


def pods_that_wait_for_nothing_stop_at_once(arguments):
    """Without a hook: older API servers refuse a sleep of 0 seconds."""
    pod = pod_of(rendered(IMAGE, "shutdown.preStopSeconds=0"))
    assert "lifecycle" not in pod["containers"][0] and pod["terminationGracePeriodSeconds"] == 5 + 65


def what_is_consistent_is_taken(arguments):
    """The other side of some refusals: a check that refuses everything would pass those."""
    for values in ((*SOCKET, *TENANT, "unixSocket.trustAll=true"), ("tls.duration=24h",),
                   ("tls.duration=36h30m", "tls.renewBefore=12h"), ("resources.cpu.limit=1000m",),
                   ("tls.renewBefore=72h", "prometheusRule.enabled=true"),
                   ("tls.duration=6h", "tls.renewBefore=60m", "prometheusRule.enabled=true"),
                   ("resources.cpu.request=1.5", "resources.cpu.limit=1.5"), (*RDMA, *TENANT, r"rdma.transports=rc_x\,ud"),
                   ("tenants[0].name=a", "tenants[0].identities[0]=*"), ("listen.host=[::]",),
                   ("image.repository=registry.example.com:5000/cairnd",), ("serviceMonitor.interval=1m30s",),
                   ("mode=statefulset", "podDisruptionBudget.maxUnavailable=10%")):
        done = render(IMAGE, *values)
        assert done.returncode == 0, f"{values}: {done.stderr}"
    made = of_kind(rendered(IMAGE, "tls.duration=24h"), "Certificate")
    lives = [one["spec"] for one in made if not one["spec"].get("isCA")]
    assert lives and all(life["duration"] == "24h" and "renewBefore" not in life for life in lives), lives


def job_is_named_as_rules_expect(arguments):
    """By a label of the metrics service, which the names that a user chooses do not change."""
    for values in ((), ("nameOverride=store",), ("fullnameOverride=store",)):
        text = rendered(HERE / "values" / "monitored.yaml", *values)
        monitor = of_kind(text, "ServiceMonitor")[0]["spec"]
        chosen = [one["metadata"]["labels"] for one in of_kind(text, "Service")
                  if monitor["selector"]["matchLabels"].items() <= one["metadata"]["labels"].items()]
        assert len(chosen) == 1 and chosen[0][monitor["jobLabel"]] == "cairn", (values, chosen)


def policy_lets_in_who_is_named(arguments):
    for case, egress in (("minimal", 0), ("shared", 2)):
        text = rendered(HERE / "values" / f"{case}.yaml")
        policy = of_kind(text, "NetworkPolicy")[0]["spec"]
        assert policy["policyTypes"] == ["Ingress", "Egress"]
        assert len(policy.get("egress", [])) == egress, policy
        selector = of_kind(text, "ServiceAccount") and policy["podSelector"]["matchLabels"]
        engines, metrics = policy["ingress"]
        assert engines["ports"] == [{"port": "engines"}] and metrics["ports"] == [{"port": "metrics"}]
        assert {"podSelector": {"matchLabels": {"cairn-client": "true"}}} in engines["from"]
        assert {"podSelector": {"matchLabels": selector}} in engines["from"], "daemons among each other"
        labels = (of_kind(text, "DaemonSet") + of_kind(text, "StatefulSet"))[0]["spec"]["template"]["metadata"]
        assert selector.items() <= labels["labels"].items(), "the policy is about other pods"


def services_lead_to_the_pods(arguments):
    for case in CASES:
        text = rendered(case)
        workload = (of_kind(text, "DaemonSet") + of_kind(text, "StatefulSet"))[0]
        labels = workload["spec"]["template"]["metadata"]["labels"]
        ports = {port["name"] for port in workload["spec"]["template"]["spec"]["containers"][0]["ports"]}
        names = set()
        for service in of_kind(text, "Service"):
            names.add(service["metadata"]["name"])
            assert service["spec"]["selector"].items() <= labels.items(), case
            assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports, case
        if workload["kind"] == "StatefulSet":
            assert workload["spec"]["serviceName"] in names, names
            arguments_ = workload["spec"]["template"]["spec"]["containers"][0]["args"]
            members = [one for one in arguments_ if one.startswith("--members=")][0]
            assert members.count(f".{workload['spec']['serviceName']}.serving.svc:7411") == \
                workload["spec"]["replicas"], members


def members_know_each_other(arguments):
    """cairnctl in a pod reaches the other daemons, by an identity that no other workload has."""
    identity = "spiffe://cluster.local/ns/serving/sa/cairn"
    for values, admin, server in (
            (("mode=statefulset",), identity, None),
            (("mode=statefulset", "membersAdmin=false"), None, None),
            (("mode=statefulset", "admins[0]=spiffe://x/a"), f"spiffe://x/a,{identity}", None),
            (("mode=statefulset", f"admins[0]={identity}"), identity, None),
            (("mode=statefulset", "tls.mode=spiffe"), identity, identity),
            # Accounts of others: all of their pods have the identity.
            (("mode=statefulset", "tls.mode=spiffe", "serviceAccount.create=false"), None,
             "spiffe://cluster.local/ns/serving/sa/default"),
            (("mode=statefulset", "tls.mode=spiffe", "serviceAccount.create=false", "serviceAccount.name=vllm"),
             None, "spiffe://cluster.local/ns/serving/sa/vllm"),
            (("mode=statefulset", "serviceAccount.create=false", "tls.issuerRef.name=company"), None, None),
            (("mode=statefulset", "tls.mode=secret", "tls.secretName=x"), None, None)):
        container = pod_of(rendered(IMAGE, *values))["containers"][0]
        variables = {one["name"]: one["value"] for one in container["env"]}
        assert variables.get("CAIRN_TLS_SERVER") == server, (values, variables)
        for name, file in (("CAIRN_TLS_CA", "ca"), ("CAIRN_TLS_CERT", "cert"), ("CAIRN_TLS_KEY", "key")):
            assert f"--tls-{file}={variables[name]}" in container["args"], (values, variables)
        admins = [flag.partition("=")[2] for flag in container["args"] if flag.startswith("--tls-admins")]
        assert admins == ([admin] if admin else []), (values, admins)
    made = {one["metadata"]["name"]: one["spec"] for one in
            of_kind(rendered(IMAGE, "mode=statefulset"), "Certificate")}
    assert made["cairn-tls"]["uris"] == [identity] and "client auth" in made["cairn-tls"]["usages"], made
    for values in ((), ("mode=statefulset", *PLAIN)):
        container = pod_of(rendered(IMAGE, *values))["containers"][0]
        assert [one["name"] for one in container["env"]] == ["CAIRN_CONNECT"], (values, container["env"])


def tenants_are_passed_on(arguments):
    text = rendered(HERE / "values" / "shared.yaml")
    flags = pod_of(text)["containers"][0]["args"]
    assert ("--tls-tenants=spiffe://cluster.local/ns/acme/sa/vllm=acme,engine.acme.example=acme,"
            "spiffe://cluster.local/cairn/tenant/acme=acme,"
            "spiffe://cluster.local/cairn/tenant/lab=lab") in flags, flags
    made = {one["metadata"]["name"]: one["spec"] for one in of_kind(text, "Certificate")}
    assert made["cairn-tenant-lab"]["uris"] == ["spiffe://cluster.local/cairn/tenant/lab"], made.keys()
    assert made["cairn-ca"]["isCA"] and "server auth" not in made["cairn-tenant-lab"]["usages"]


def notes_say_what_to_paste(arguments):
    """NOTES.txt, which Helm shows only where there is a cluster: here in a copy that has it as an object."""
    copy = arguments.out / "chart-with-notes"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(CHART, copy)
    notes = copy / "templates" / "NOTES.txt"
    (copy / "templates" / "notes.yaml").write_text(
        '{{- define "notes" -}}' + notes.read_text(encoding="utf-8") + "{{- end -}}\n"
        'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: notes}\n'
        'data:\n  text: {{ include "notes" . | toJson }}\n', encoding="utf-8")
    notes.unlink()
    for case, expected in (
            ("minimal", ("cairn.serving.svc:7411", "cairnctl status", 'cairn-client: "true"',
                         "secret cairn-metrics", "engines: secret cairn-engine",
                         "secretName: cairn-engine", "CAIRN_TLS_CERT")),
            ("shared", ("cairn-0=cairn-0.cairn-daemons.serving.svc:7411,cairn-1=", "tenant lab: secret cairn-tenant-lab",
                        "exec cairn-0 -- cairnctl members", "cairnctl drain --member cairn-1 --wait")),
            ("plain", ("WARNING: tls.mode is none",)),
            ("node", ("supplementalGroups: [65532]", "CAIRN_TLS_SERVER",
                      "spiffe://cluster.local/ns/serving/sa/cairn", "app.driver.sourceCABundle",
                      "WARNING: on that socket no certificate is asked for",
                      "install -d -o 0 -g 65532 -m 0750 /run/cairn",
                      "install -d -o 0 -g 65532 -m 0700 /mnt/nvme/cairn")),
            ("tenants-on-socket", ("WARNING: on that socket", "(unixSocket.trustAll)", "Who is who",
                                   "install -d -o 65532 -g 65532 -m 0750 /run/cairn"))):
        text = check([tool("helm"), "template", "cairn", copy, "--namespace", "serving", "--kube-version", "1.36",
                      "--show-only", "templates/notes.yaml", "--values", HERE / "values" / f"{case}.yaml"], case)
        told = objects(text)[0]["data"]["text"]
        (arguments.out / f"notes-{case}.txt").write_text(told, encoding="utf-8")
        for part in expected:
            assert part in told, f"{case}: '{part}' is not in\n{told}"


def pages_commands_render(arguments):
    """Every `helm template` and `helm install` of the pages, as it stands there."""
    text = "".join((SOURCE / page).read_text(encoding="utf-8").replace("\\\n", " ")
                   for page in ("docs/kubernetes.md", "helm/cairn/README.md"))
    commands = re.findall(r"^(?: {4})?helm (template|install) cairn helm/cairn (--.*)$", text, re.M)
    assert {"template", "install"} <= {verb for verb, _ in commands}, commands
    for verb, flags in commands:
        version = ["--kube-version", "1.36"] if verb == "install" else []
        check([tool("helm"), "template", "cairn", CHART, *version, *flags.split()], f"helm {verb} {flags}")


def names_stay_valid(arguments):
    """A release's name may have 53 characters; names of objects and labels end at 63."""
    done = run(tool("helm"), "template", "r" * 53, CHART, "--kube-version", "1.36", "--set", IMAGE, "--set",
               "mode=statefulset", "--set", "tenants[0].name=" + "t" * 12, "--set",
               "tenants[0].certificate=true")
    assert done.returncode == 0, done.stderr
    for one in objects(done.stdout):
        assert len(one["metadata"]["name"]) <= 63, one["metadata"]["name"]


TESTS = [lint_is_clean, objects_fit_the_schemas, schemas_notice_what_is_wrong, pods_are_restricted,
         renders_are_as_they_were, contradictions_are_refused, missing_kinds_are_told,
         limits_agree_with_the_options, numbers_are_written_as_they_were, pods_stop_in_order, pods_that_wait_for_nothing_stop_at_once,
         what_is_consistent_is_taken, job_is_named_as_rules_expect, policy_lets_in_who_is_named,
         services_lead_to_the_pods, members_know_each_other, tenants_are_passed_on, notes_say_what_to_paste, pages_commands_render,
         names_stay_valid]

if __name__ == "__main__":
    sys.exit(main(__doc__, "Chart", TESTS))
