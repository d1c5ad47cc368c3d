"""Kubernetes manifests with least privilege, validated against the schemas that `kubernetes-validate` brings."""

from collections.abc import Sequence
from typing import Any

import kubernetes_validate
import yaml

Manifest = dict[str, Any]

REPLICAS = 1  # Whether the project bears more than one is not in its files.
# Starting values, not measured: enough to be scheduled and to start, and a bound on what a fault can take.
CPU_REQUEST, MEMORY_REQUEST, MEMORY_LIMIT = "100m", "128Mi", "512Mi"
PROBE_PERIOD_S = 10
STOP_GRACE_S = 30


def manifests(name: str, image: str, user_id: int, port: int | None, health_path: str) -> tuple[Manifest, ...]:
    """A ServiceAccount without a token and a Deployment; a Service and probes only where a port is known.

    `name` is an RFC 1123 label. Without a health path the readiness probe only opens the port, and there is no liveness
    probe: a restart cures nothing that an open port could tell.
    """
    account: Manifest = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": _metadata(name),
        "automountServiceAccountToken": False,
    }
    deployment: Manifest = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _metadata(name),
        "spec": {
            "replicas": REPLICAS,
            "selector": {"matchLabels": _labels(name)},
            "template": {"metadata": {"labels": _labels(name)}, "spec": _pod(name, image, user_id, port, health_path)},
        },
    }
    if port is None:
        return account, deployment
    service: Manifest = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _metadata(name),
        "spec": {
            "selector": _labels(name),
            "ports": [{"name": "http", "port": 80, "targetPort": "http", "protocol": "TCP"}],
        },
    }
    return account, deployment, service


def as_yaml(documents: Sequence[Manifest], comments: Sequence[str]) -> str:
    """The documents as one YAML stream under the comment lines."""
    header = "".join(f"# {line}\n" for line in comments)
    return header + "---\n".join(yaml.safe_dump(document, sort_keys=False) for document in documents)


def problems(text: str, version: str) -> list[str]:
    """What is wrong with the YAML stream for that Kubernetes version; empty when nothing is. Unknown fields count.

    Beyond the schemas it checks that the Service and the Deployment select the pods' labels.
    """
    try:
        documents: list[Any] = [each for each in yaml.safe_load_all(text) if each is not None]
    except yaml.YAMLError as problem:
        return [f"not YAML: {problem}"]
    wrong: list[str] = []
    pods: list[dict[str, str]] = []
    for document in documents:
        name = f"{document.get('kind', '?')}/{document.get('metadata', {}).get('name', '?')}"
        try:
            kubernetes_validate.validate(document, version, strict=True)
        except kubernetes_validate.ValidationError as problem:
            wrong.append(f"{name}: {'.'.join(map(str, problem.absolute_path))}: {problem.message}")
        except (kubernetes_validate.SchemaNotFoundError, KeyError) as problem:
            wrong.append(f"{name}: there is no schema for it: {problem}")
        else:
            pods += _pod_labels(document)
    wrong += [f"{name} selects no pod" for name, selector in _selectors(documents) if selector not in pods]
    return wrong


def latest_version() -> str:
    """The newest Kubernetes version whose schemas are at hand, such as "1.34.0"."""
    return str(kubernetes_validate.latest_version())


def _metadata(name: str) -> dict[str, Any]:
    return {"name": name, "labels": _labels(name)}


def _labels(name: str) -> dict[str, str]:
    return {"app.kubernetes.io/name": name}


def _pod(name: str, image: str, user_id: int, port: int | None, health_path: str) -> Manifest:
    container: Manifest = {
        "name": name,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "resources": {
            # No CPU limit: it would throttle a busy container while the node is idle.
            "requests": {"cpu": CPU_REQUEST, "memory": MEMORY_REQUEST},
            "limits": {"memory": MEMORY_LIMIT},
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108  # the container's own, an empty volume
    }
    if port is not None:
        container["ports"] = [{"name": "http", "containerPort": port, "protocol": "TCP"}]
        if health_path:
            check: Manifest = {"httpGet": {"path": health_path, "port": "http"}, "periodSeconds": PROBE_PERIOD_S}
            container["readinessProbe"] = check
            container["livenessProbe"] = {**check, "initialDelaySeconds": PROBE_PERIOD_S}
        else:
            container["readinessProbe"] = {"tcpSocket": {"port": "http"}, "periodSeconds": PROBE_PERIOD_S}
    return {
        "serviceAccountName": name,
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": STOP_GRACE_S,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": user_id,
            "runAsGroup": user_id,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        "volumes": [{"name": "tmp", "emptyDir": {}}],
    }


def _pod_labels(document: Manifest) -> list[dict[str, str]]:
    return [document["spec"]["template"]["metadata"]["labels"]] if document["kind"] == "Deployment" else []


def _selectors(documents: Sequence[Manifest]) -> list[tuple[str, object]]:
    found: list[tuple[str, object]] = []
    for document in documents:
        selector: Manifest = document.get("spec", {}).get("selector") or {}
        if document.get("kind") == "Deployment":
            found.append(("the Deployment", selector.get("matchLabels")))
        elif document.get("kind") == "Service":
            found.append(("the Service", selector))
    return found
