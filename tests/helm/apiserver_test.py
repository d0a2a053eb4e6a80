"""The chart installed into a real Kubernetes API server: its defaults, validation, admission and storage.

Nothing runs the pods: that they are admitted is tested, not that they work. Usage: apiserver_test.py BIN OUT
"""

import sys

sys.dont_write_bytecode = True
from cluster import Cluster  # noqa: E402
from harness import CHART, HERE, main, of_kind, reaches_into_node, rendered  # noqa: E402

CLUSTERS = []  # The one that all tests here share.


def cluster(arguments) -> Cluster:
    if not CLUSTERS:
        CLUSTERS.append(Cluster(arguments.out / "cluster").__enter__())
        for name, level in (("serving", "restricted"), ("nodes", "privileged")):
            CLUSTERS[0].add_namespace(name, level)
        status, answer = CLUSTERS[0].call("POST", "/apis/node.k8s.io/v1/runtimeclasses", {
            "apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "handler": "nvidia",
            "metadata": {"name": "nvidia"}})
        assert status == 201, answer
    return CLUSTERS[0]


def install(c: Cluster, case: str, namespace: str, *flags):
    return c.helm("install", "cairn", CHART, "--namespace", namespace, "--values", HERE / "values" / f"{case}.yaml",
                  *flags)


def pod_from(case: str) -> dict:
    text = rendered(HERE / "values" / f"{case}.yaml")
    template = (of_kind(text, "DaemonSet") + of_kind(text, "StatefulSet"))[0]["spec"]["template"]
    metadata = {"name": f"probe-{case}", "labels": template["metadata"]["labels"]}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}
    if any(mount["name"] == "ssd" for mount in pod["spec"]["containers"][0]["volumeMounts"]) and \
            not any(volume["name"] == "ssd" for volume in pod["spec"]["volumes"]):
        # As the controller of StatefulSets adds it.
        pod["spec"]["volumes"].append({"name": "ssd", "persistentVolumeClaim": {"claimName": "ssd-cairn-0"}})
    return pod


def missing_certificates_are_told(arguments):
    """Before cert-manager is there: in words, not as an unknown kind."""
    done = install(cluster(arguments), "minimal", "serving", "--dry-run=server")
    assert done.returncode != 0 and "cert-manager is not in this cluster" in done.stderr, done.stderr


def plain_installs_upgrades_and_goes(arguments):
    """Into a namespace that enforces `restricted`, without any other project's kinds."""
    c = cluster(arguments)
    done = install(c, "plain", "serving", "--dry-run=server")
    assert done.returncode == 0, done.stderr
    assert c.call("GET", "/apis/apps/v1/namespaces/serving/daemonsets/cairn")[0] == 404, "a dry run left something"
    done = install(c, "plain", "serving")
    assert done.returncode == 0 and "would violate" not in done.stderr, done.stderr
    status, workload = c.call("GET", "/apis/apps/v1/namespaces/serving/daemonsets/cairn")
    assert status == 200 and workload["spec"]["template"]["spec"]["securityContext"]["runAsNonRoot"], workload
    done = c.helm("upgrade", "cairn", CHART, "--namespace", "serving", "--reuse-values", "--set", "memory=3Gi")
    assert done.returncode == 0, done.stderr
    container = c.call("GET", "/apis/apps/v1/namespaces/serving/daemonsets/cairn")[1][
        "spec"]["template"]["spec"]["containers"][0]
    assert f"--memory={3 * 2**30}" in container["args"], container["args"]
    done = c.helm("uninstall", "cairn", "--namespace", "serving")
    assert done.returncode == 0, done.stderr
    for kind in ("services", "serviceaccounts"):
        left = c.call("GET", f"/api/v1/namespaces/serving/{kind}")[1]["items"]
        assert not [one for one in left if one["metadata"]["name"].startswith("cairn")], left


def every_case_installs(arguments):
    """With the kinds of cert-manager and Prometheus' operator known. A warning of admission is a failure."""
    c = cluster(arguments)
    if c.call("GET", "/apis/cert-manager.io/v1", raw=True)[0] != 200:
        c.add_custom_kinds()
    for case in sorted((HERE / "values").glob("*.yaml")):
        namespace = "nodes" if reaches_into_node(case) else "serving"
        for flags in (("--dry-run=server",), ()):
            done = install(c, case.stem, namespace, *flags)
            assert done.returncode == 0, f"{case.stem} {flags}: {done.stderr}"
            assert "would violate" not in done.stderr, f"{case.stem}: {done.stderr}"
        # Pods are what admission enforces; dryRun goes through all of it.
        status, answer = c.call("POST", f"/api/v1/namespaces/{namespace}/pods?dryRun=All", pod_from(case.stem))
        assert status == 201, f"{case.stem}: {answer.get('message')}"
        done = c.helm("uninstall", "cairn", "--namespace", namespace)
        assert done.returncode == 0, done.stderr


def what_reaches_into_nodes_is_refused(arguments):
    """Admission of a restricted namespace lets the pod of node.yaml not in, and says why."""
    c = cluster(arguments)
    done = install(c, "node", "serving")
    assert done.returncode == 0 and "would violate PodSecurity" in done.stderr, done.stderr
    status, answer = c.call("POST", "/api/v1/namespaces/serving/pods?dryRun=All", pod_from("node"))
    assert status == 403 and "restricted" in answer["message"], answer
    c.helm("uninstall", "cairn", "--namespace", "serving")


TESTS = [missing_certificates_are_told, plain_installs_upgrades_and_goes, every_case_installs,
         what_reaches_into_nodes_is_refused]

if __name__ == "__main__":
    try:
        status = main(__doc__, "ChartInCluster", TESTS)
    finally:
        for one in CLUSTERS:
            one.__exit__()
    sys.exit(status)
