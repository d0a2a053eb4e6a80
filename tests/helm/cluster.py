"""A Kubernetes API server with etcd on loopback: real admission and storage, and nothing that runs pods."""

import json
import pathlib
import shutil
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request

from harness import run, tool

TOKEN = "0123456789abcdef"
HOW = "./dev setup apiserver"
# Kinds of other projects, as far as the API server has to know them. What is in them is checked elsewhere.
CUSTOM = (("cert-manager.io", "v1", "Certificate"), ("cert-manager.io", "v1", "Issuer"),
          ("monitoring.coreos.com", "v1", "ServiceMonitor"), ("monitoring.coreos.com", "v1", "PrometheusRule"))


def free_ports(count: int) -> list:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


class Cluster:
    """Use it in a `with`. `kubeconfig` is what Helm needs."""

    def __init__(self, folder: pathlib.Path):
        self.apiserver, self.etcd = tool("kube-apiserver", HOW), tool("etcd", HOW)
        self.folder = folder
        self.kubeconfig = folder / "kubeconfig"
        self.processes = []

    def start(self, name: str, *command) -> None:
        log = open(self.folder / f"{name}.log", "w", encoding="utf-8")
        self.processes.append(subprocess.Popen([str(part) for part in command], stdout=log, stderr=log))

    def __enter__(self):
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        client, peer, port = free_ports(3)
        key = self.folder / "service-accounts.key"
        made = run("openssl", "genrsa", "-out", key, "2048")
        assert made.returncode == 0, made.stderr
        (self.folder / "tokens.csv").write_text(f'{TOKEN},admin,admin,"system:masters"\n', encoding="utf-8")
        self.server = f"https://127.0.0.1:{port}"
        self.kubeconfig.write_text(json.dumps({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{"name": "c", "cluster": {"server": self.server, "insecure-skip-tls-verify": True}}],
            "users": [{"name": "c", "user": {"token": TOKEN}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c"}}]}), encoding="utf-8")
        self.start("etcd", self.etcd, "--data-dir", self.folder / "etcd",
                   "--listen-client-urls", f"http://127.0.0.1:{client}",
                   "--advertise-client-urls", f"http://127.0.0.1:{client}",
                   "--listen-peer-urls", f"http://127.0.0.1:{peer}",
                   "--initial-advertise-peer-urls", f"http://127.0.0.1:{peer}",
                   "--initial-cluster", f"default=http://127.0.0.1:{peer}")
        # The advertised address is one of those kept for documentation: nobody is told of it.
        self.start("apiserver", self.apiserver, "--etcd-servers", f"http://127.0.0.1:{client}",
                   "--bind-address", "127.0.0.1", "--secure-port", port, "--cert-dir", self.folder / "certificates",
                   "--advertise-address", "192.0.2.1", "--endpoint-reconciler-type", "none",
                   "--service-cluster-ip-range", "198.51.100.0/24", "--authorization-mode", "RBAC",
                   "--token-auth-file", self.folder / "tokens.csv",
                   "--service-account-issuer", "https://kubernetes.default.svc",
                   "--service-account-key-file", key, "--service-account-signing-key-file", key)
        try:
            self.wait_ready()
        except BaseException:
            self.__exit__()
            raise
        return self

    def wait_ready(self) -> None:
        for _ in range(240):
            ended = [one.poll() for one in self.processes if one.poll() is not None]
            assert not ended, f"a server ended: see {self.folder}/*.log"
            try:
                if self.call("GET", "/readyz", raw=True)[0] == 200:
                    return
            except OSError:
                pass
            time.sleep(0.5)
        raise AssertionError(f"the API server is not ready after 2 min: see {self.folder}/apiserver.log")

    def __exit__(self, *_):
        for one in reversed(self.processes):
            one.terminate()
            try:
                one.wait(timeout=30)
            except subprocess.TimeoutExpired:
                one.kill()
                one.wait()
        shutil.rmtree(self.folder / "etcd", ignore_errors=True)

    def call(self, method: str, path: str, body=None, raw: bool = False):
        """(status, answer)."""
        context = ssl._create_unverified_context()  # Of a certificate made a moment ago, on loopback.
        request = urllib.request.Request(self.server + path, method=method,
                                         data=None if body is None else json.dumps(body).encode(),
                                         headers={"Authorization": f"Bearer {TOKEN}",
                                                  "Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=30, context=context) as answer:
                text = answer.read().decode()
                return answer.status, text if raw else json.loads(text)
        except urllib.error.HTTPError as error:
            text = error.read().decode()
            return error.code, text if raw else json.loads(text)

    def helm(self, *command) -> subprocess.CompletedProcess:
        return run(tool("helm"), *command, environment={"KUBECONFIG": str(self.kubeconfig)}, timeout_s=300)

    def add_namespace(self, name: str, level: str) -> None:
        labels = {f"pod-security.kubernetes.io/{mode}": level for mode in ("enforce", "warn")}
        status, answer = self.call("POST", "/api/v1/namespaces", {
            "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
        assert status == 201, answer

    def add_custom_kinds(self) -> None:
        for group, version, kind in CUSTOM:
            plural = f"{kind.lower()}s"
            status, answer = self.call("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", {
                "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
                "metadata": {"name": f"{plural}.{group}",
                             "annotations": {"api-approved.kubernetes.io": "unapproved, for a test"}},
                "spec": {"group": group, "scope": "Namespaced",
                         "names": {"kind": kind, "plural": plural, "singular": kind.lower()},
                         "versions": [{"name": version, "served": True, "storage": True, "schema": {
                             "openAPIV3Schema": {"type": "object",
                                                 "x-kubernetes-preserve-unknown-fields": True}}}]}})
            assert status == 201, answer
            for _ in range(60):
                if self.call("GET", f"/apis/{group}/{version}/namespaces/default/{plural}", raw=True)[0] == 200:
                    break
                time.sleep(0.5)
            else:
                raise AssertionError(f"{kind} is not served")
