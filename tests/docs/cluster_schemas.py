"""Schemas of the fields in docs/cluster, as KubeRay (ray.io/v1), Kubernetes and Slurm (sbatch) document them.

They are stricter than those of the servers: a field that is not listed here is an error, since Kubernetes
ignores a misspelt one.
"""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]
TEXT: Schema = {"type": "string", "minLength": 1}
COUNT: Schema = {"type": "integer", "minimum": 0}
YES: Schema = {"type": "boolean"}
NAME: Schema = {"type": "string", "pattern": "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"}
QUANTITY: Schema = {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?$"}
LABELS: Schema = {"type": "object", "additionalProperties": {"type": "string", "maxLength": 63}}


def fields(*required: str, **known: Schema) -> Schema:
    """Return the schema of an object with these fields and no other."""
    return {
        "type": "object",
        "properties": known,
        "required": list(required),
        "additionalProperties": False,
    }


def many(item: Schema) -> Schema:
    return {"type": "array", "items": item, "minItems": 1}


def one_of(*values: str) -> Schema:
    return {"enum": list(values)}


SELECTOR = fields("matchLabels", matchLabels=LABELS)
METADATA = fields("name", name=NAME, labels=LABELS)
CONTAINER = fields(
    "name",
    "image",
    "resources",
    "securityContext",
    name=NAME,
    image={"type": "string", "pattern": r"^[\w./-]+:[\w.-]+$"},
    command=many(TEXT),
    args=many(TEXT),
    resources=fields("limits", limits={"type": "object", "additionalProperties": QUANTITY}),
    securityContext=fields(
        "allowPrivilegeEscalation",
        "capabilities",
        allowPrivilegeEscalation={"const": False},
        readOnlyRootFilesystem=YES,
        capabilities=fields("drop", drop={"const": ["ALL"]}),
    ),
    volumeMounts=many(fields("name", "mountPath", name=NAME, mountPath={"type": "string", "pattern": "^/"})),
)
VOLUME = fields(
    "name",
    name=NAME,
    persistentVolumeClaim=fields("claimName", claimName=NAME),
    emptyDir=fields(medium=one_of("Memory"), sizeLimit=QUANTITY),
) | {"minProperties": 2, "maxProperties": 2}
POD = fields(
    "spec",
    metadata=fields(labels=LABELS),
    spec=fields(
        "containers",
        "securityContext",
        "automountServiceAccountToken",
        automountServiceAccountToken={"const": False},
        containers=many(CONTAINER),
        restartPolicy=one_of("Always", "OnFailure", "Never"),
        securityContext=fields(
            "runAsNonRoot",
            "runAsUser",
            runAsNonRoot={"const": True},
            runAsUser={"const": 10001},
            runAsGroup=COUNT,
            fsGroup=COUNT,
            seccompProfile=fields("type", type=one_of("RuntimeDefault", "Localhost", "Unconfined")),
        ),
        subdomain=NAME,
        terminationGracePeriodSeconds=COUNT,
        volumes=many(VOLUME),
    ),
)
RAY_PARAMETERS: Schema = {"type": "object", "additionalProperties": TEXT}
RAY_JOB = fields(
    "entrypoint",
    "rayClusterSpec",
    activeDeadlineSeconds=COUNT,
    backoffLimit=COUNT,
    entrypoint=TEXT,
    shutdownAfterJobFinishes=YES,
    submissionMode=one_of("K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode"),
    ttlSecondsAfterFinished=COUNT,
    rayClusterSpec=fields(
        "authOptions",
        "headGroupSpec",
        authOptions=fields("mode", mode={"const": "token"}),
        rayVersion={"type": "string", "pattern": r"^\d+\.\d+\.\d+$"},
        headGroupSpec=fields(
            "template",
            rayStartParams=RAY_PARAMETERS,
            serviceType=one_of("ClusterIP"),
            template=POD,
        ),
        workerGroupSpecs=many(
            fields(
                "groupName",
                "minReplicas",
                "maxReplicas",
                "template",
                groupName=NAME,
                replicas=COUNT,
                minReplicas=COUNT,
                maxReplicas=COUNT,
                rayStartParams=RAY_PARAMETERS,
                template=POD,
            )
        ),
    ),
)
JOB = fields(
    "template",
    backoffLimit=COUNT,
    backoffLimitPerIndex=COUNT,
    completionMode=one_of("Indexed", "NonIndexed"),
    completions=COUNT,
    maxFailedIndexes=COUNT,
    parallelism=COUNT,
    template=POD,
)
NETWORK_POLICY = fields(
    "podSelector",
    "policyTypes",
    "ingress",
    podSelector=SELECTOR,
    policyTypes=many(one_of("Ingress", "Egress")),
    ingress=many(fields("from", **{"from": many(fields(podSelector=SELECTOR, namespaceSelector=SELECTOR))})),
)
SERVICE = fields(
    "selector",
    clusterIP={"const": "None"},
    publishNotReadyAddresses=YES,
    selector=LABELS,
    ports=many(fields("port", name=NAME, port=COUNT)),
)
KINDS: dict[tuple[str, str], Schema] = {
    ("ray.io/v1", "RayJob"): RAY_JOB,
    ("batch/v1", "Job"): JOB,
    ("networking.k8s.io/v1", "NetworkPolicy"): NETWORK_POLICY,
    ("v1", "Service"): SERVICE,
}


def schema_of(document: dict[str, Any]) -> Schema:
    """Return the schema of a whole document; raises KeyError for an unknown kind or version."""
    version, kind = document["apiVersion"], document["kind"]
    return fields(
        "apiVersion", "kind", "metadata", "spec",
        apiVersion={"const": version},
        kind={"const": kind},
        metadata=METADATA,
        spec=KINDS[version, kind],
    )  # fmt: skip


TIME = r"(\d+-)?\d{1,2}:\d{2}:\d{2}"
SBATCH = {
    "job-name": r"[\w-]+",
    "nodes": r"\d+(-\d+)?",
    "ntasks": r"\d+",
    "ntasks-per-node": r"\d+",
    "gpus-per-task": r"(\w+:)?\d+",
    "cpus-per-task": r"\d+",
    "time": TIME,
    "signal": r"(B:)?[A-Z]+(@\d+)?",
    "output": r"[\w%-]+\.log",
}
"""Options of sbatch that are used, and the form of their values."""
SBATCH_FLAGS = {"requeue", "exclusive"}
