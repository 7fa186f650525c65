"""Clusters, and the tags of everything."""

from __future__ import annotations

from typing import Any

from loopback import aws
from loopback.errors import AwsError
from loopback.fidelity import documented, from_model
from loopback.services.ecs import state
from loopback.services.ecs.service import invalid, service

Json = dict[str, Any]
_KEPT = ("settings", "configuration", "capacityProviders", "defaultCapacityProviderStrategy")


@service.operation
@from_model
@documented("ECS API reference, CreateCluster: a cluster that is there is given back")
def create_cluster(request: Json) -> Json:
    name = request.get("clusterName") or "default"
    known = state.here().clusters
    if name not in known or known[name]["status"] != "ACTIVE":
        arn = aws.arn("ecs", f"cluster/{name}")
        known[name] = {
            "clusterArn": arn,
            "clusterName": name,
            "status": "ACTIVE",
            "registeredContainerInstancesCount": 0,
            "activeServicesCount": 0,
            "settings": [{"name": "containerInsights", "value": "disabled"}],
            "capacityProviders": [],
            "defaultCapacityProviderStrategy": [],
            **{key: request[key] for key in _KEPT if key in request},
        }
        state.tag(arn, request.get("tags"))
    return {"cluster": _shown(known[name], tags=True)}


@service.operation
@from_model
def update_cluster(request: Json) -> Json:
    cluster = state.cluster(request["cluster"])
    cluster.update({key: request[key] for key in _KEPT if key in request})
    return {"cluster": _shown(cluster)}


@service.operation
@from_model
def put_cluster_capacity_providers(request: Json) -> Json:
    return update_cluster(request)


@service.operation
@from_model
@documented("ECS API reference, DeleteCluster: not while tasks run; INACTIVE for a while")
def delete_cluster(request: Json) -> Json:
    cluster = state.cluster(request["cluster"])
    if _shown(cluster)["runningTasksCount"]:
        raise AwsError("ClusterContainsTasksException", "The Cluster cannot be deleted while Tasks are active.")
    cluster["status"] = "INACTIVE"
    return {"cluster": _shown(cluster)}


@service.operation
@from_model
def describe_clusters(request: Json) -> Json:
    known, found, failures = state.here().clusters, [], []
    for reference in request.get("clusters") or ["default"]:
        name = state.name_of(reference)
        if name in known:
            found.append(_shown(known[name], tags="TAGS" in request.get("include", [])))
        else:
            failures.append({"arn": aws.arn("ecs", f"cluster/{name}"), "reason": "MISSING"})
    return {"clusters": found, "failures": failures}


@service.operation
@from_model
def list_clusters(_request: Json) -> Json:
    active = [one for one in state.here().clusters.values() if one["status"] == "ACTIVE"]
    return {"clusterArns": [one["clusterArn"] for one in active]}


def _shown(cluster: Json, *, tags: bool = False) -> Json:
    tasks = [one.document for one in state.here().tasks.values() if one.document["clusterArn"] == cluster["clusterArn"]]
    statuses = [task["lastStatus"] for task in tasks]
    counts = {
        "runningTasksCount": statuses.count("RUNNING"),
        "pendingTasksCount": statuses.count("PENDING") + statuses.count("PROVISIONING"),
    }
    return {**cluster, **counts, "tags": state.tags(cluster["clusterArn"]) if tags else []}


# ------------------------------------------------------------------ tags


@service.operation
@from_model
def tag_resource(request: Json) -> Json:
    state.tag(_known(request["resourceArn"]), request["tags"])
    return {}


@service.operation
@from_model
def untag_resource(request: Json) -> Json:
    tags = state.here().tags.get(_known(request["resourceArn"]), {})
    for key in request["tagKeys"]:
        tags.pop(key, None)
    return {}


@service.operation
@from_model
def list_tags_for_resource(request: Json) -> Json:
    return {"tags": state.tags(_known(request["resourceArn"]))}


def _known(arn: str) -> str:
    place = state.here()
    arns = {one["clusterArn"] for one in place.clusters.values()}
    arns |= {one["taskDefinitionArn"] for one in place.definitions.values()} | place.tasks.keys()
    if arn not in arns:
        raise invalid("The specified resource was not found.")
    return arn
