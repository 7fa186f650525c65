"""Amazon ECR: control plane (JSON API) and data plane (registry HTTP API), since no emulator has either in full.

state         what is remembered
guard         which resources an API call is about, and whether its caller may
repositories  create, describe, delete, mutability, tags, repository policy
lifecycle     lifecycle policies and their dry run; lifecycle_grammar, lifecycle_evaluation
registry      registry policy, scanning, replication, account settings, authorization tokens
pull_through  rules, their validation, and the import of images from upstream
templates     repository creation templates
images        list, describe, get, put, delete; layer_operations: layers by the API
tokens        registry passwords
access        who may do what in a registry
manifests     what may become an image
imports       pull-through: images fetched from the upstream
dataplane     /v2/: push, pull, referrers, with uploads (layers on their way in) and layers (on their way out)
"""

from __future__ import annotations

from loopback.services.ecr import (
    dataplane,
    images,
    layer_operations,
    lifecycle,
    pull_through,
    registry,
    repositories,
    state,
    templates,
    tokens,
)
from loopback.services.ecr.service import service

NAME = "ecr"
AUTHORIZES = True  # see aws.install, and guard
handle_request = service.handle_request
reset = state.reset
repository_policy_for_arn = state.repository_policy_for_arn
wrap = dataplane.wrap
expire_tokens = tokens.expire_all

__all__ = [
    "AUTHORIZES",
    "NAME",
    "dataplane",
    "expire_tokens",
    "handle_request",
    "images",
    "layer_operations",
    "lifecycle",
    "pull_through",
    "registry",
    "repositories",
    "repository_policy_for_arn",
    "reset",
    "state",
    "templates",
    "wrap",
]
