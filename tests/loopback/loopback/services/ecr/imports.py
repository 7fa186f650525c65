"""Pull-through: what a pull asks for is fetched from the upstream, over HTTP, and kept.

A pull that a rule covers goes upstream when the cache lacks the image, or when its tag was last checked a day ago.
"""

from __future__ import annotations

import json
import re
import threading
from collections import defaultdict
from collections.abc import Callable

from loopback import aws, cloud
from loopback.blobs import DIGEST, digest_of
from loopback.clock import clock
from loopback.config import UPSTREAM_HOSTS
from loopback.errors import AwsError, RegistryError
from loopback.fidelity import assumed, documented
from loopback.knobs import knobs
from loopback.services.ecr import manifests, pull_through, state, templates, tokens
from loopback.services.ecr.access import Visitor, manifest_unknown, name_unknown
from loopback.services.ecr.state import Json, Repository
from loopback.services.ecr.tokens import Token
from loopback.upstream_client import Upstream, UpstreamError

May = Callable[[str, str], None]  # (action, repository name): raises where the caller may not

FRESH = 24 * 3600
PRINCIPAL = "pullthroughcache.ecr.amazonaws.com"
_ECR = re.compile(r"(\d{12})\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?")

#: What the role of a rule must be allowed to do, upstream and in the caching registry.
UPSTREAM_ACTIONS = ("ecr:BatchImportUpstreamImage", "ecr:GetImageCopyStatus")
CACHE_ACTIONS = ("ecr:InitiateLayerUpload", "ecr:UploadLayerPart", "ecr:CompleteLayerUpload", "ecr:PutImage")

_locks: defaultdict[tuple[str, str, str], threading.Lock] = defaultdict(threading.Lock)


@documented("ECR user guide, pull-through-cache: a tag is checked upstream again after 24 hours")
@documented("ECR user guide, pull-through-cache: a cached tag of an IMMUTABLE repository cannot be updated")
@assumed("an uncached image can be pulled by digest; users report otherwise: knob ecr.pull_through.by_digest")
def due(name: str, reference: str) -> bool:
    """Whether a pull of `reference` has to ask the upstream first."""
    if pull_through.rule_for(name) is None:
        return False
    repository = state.registry().repositories.get(name)
    if DIGEST.fullmatch(reference):
        cached = repository is not None and reference in repository.images
        return not cached and bool(knobs.get("ecr.pull_through.by_digest", True))
    if repository is None or reference not in repository.tags:
        return True
    checked = repository.checked_upstream.get(reference, 0.0)
    return not repository.immutable(reference) and clock.now() - checked >= FRESH


@documented("ECR user guide, pull-through-cache: if the upstream cannot be reached, the cached image is served")
@assumed("the cached image is served whatever the upstream answers, and to a caller who may not import")
def bring(name: str, reference: str, may: May) -> None:
    """Make the cache hold what `reference` names upstream, if a rule covers the repository. Raises RegistryError."""
    with _locks[aws.account(), aws.region(), name]:
        if not due(name, reference):
            return
        try:
            _import(name, reference, may)
        except RegistryError:
            if not _held(name, reference):
                raise


def login_failure(rule: Json) -> str | None:
    """Why the upstream of a rule refuses its credential; None when it does not."""
    try:
        _upstream(rule, "", "").check_login()
    except UpstreamError as error:
        return error.reason
    except RegistryError as error:
        return error.message
    return None


def _held(name: str, reference: str) -> bool:
    repository = state.registry().repositories.get(name)
    tag, digest = (None, reference) if DIGEST.fullmatch(reference) else (reference, None)
    return repository is not None and repository.find(tag, digest) is not None


@assumed("the repository is created only once the upstream has shown the image")
def _import(name: str, reference: str, may: May) -> None:
    upstream_name, rule = pull_through.rule_for(name) or ("", {})
    _check_permissions(name, may)
    try:
        upstream = _upstream(rule, name, upstream_name)
        manifest = _manifest(upstream, upstream_name, reference)
        repository = state.registry().repositories.get(name) or _create(name)
        tag = None if DIGEST.fullmatch(reference) else reference
        _keep(repository, upstream, upstream_name, manifest, tag)
    except UpstreamError as error:
        raise _as_registry_error(error) from error
    if tag is not None:
        repository.checked_upstream[tag] = clock.now()


@documented("ECR user guide, error-pullthroughcache: a missing permission looks like a missing repository or image")
@documented("ECR user guide, ecr-supported-iam-actions-tagging: tags at creation are authorised in addition")
def _check_permissions(name: str, may: May) -> None:
    if name not in state.registry().repositories:
        try:
            may("ecr:CreateRepository", name)
            if templates.sets_tags(name, "PULL_THROUGH_CACHE"):
                may("ecr:TagResource", name)
        except (AwsError, RegistryError):
            raise name_unknown(name) from None
    try:
        may("ecr:BatchImportUpstreamImage", name)
    except (AwsError, RegistryError):
        raise manifest_unknown() from None


def _create(name: str) -> Repository:
    repository = templates.create_repository_for(name, "PULL_THROUGH_CACHE")
    repository.cached = True
    return repository


@documented("ECR user guide, pull-through-cache: a multi-architecture image is imported with all its children")
def _keep(
    repository: Repository, upstream: Upstream, upstream_name: str, manifest: tuple[bytes, str], tag: str | None
) -> None:
    document, _media_type = manifests.parse(*manifest)
    for child in manifests.children(document):
        if child not in repository.images:
            _keep(repository, upstream, upstream_name, _manifest(upstream, upstream_name, child), None)
    for layer in manifests.layers(document):
        if layer not in repository.layers:
            _fetch(upstream, upstream_name, layer)
            repository.layers.add(layer)
    manifests.store(repository, *manifest, tag)


def _manifest(upstream: Upstream, upstream_name: str, reference: str) -> tuple[bytes, str]:
    raw, media_type = upstream.manifest(upstream_name, reference)
    digest = digest_of(raw)
    if DIGEST.fullmatch(reference) and digest != reference:
        raise UpstreamError(0, f"manifest {reference} arrived as {digest}")
    return raw, media_type


def _fetch(upstream: Upstream, upstream_name: str, digest: str) -> None:
    store = state.blobs()
    upload = store.begin("")
    try:
        for chunk in upstream.blob(upstream_name, digest):
            upload.write(chunk)
        if upload.digest != digest:
            raise UpstreamError(0, f"layer {digest} arrived as {upload.digest}")
    except UpstreamError:
        store.abort(upload)
        raise
    store.commit(upload)


# ------------------------------------------------------------------ the other side


def _upstream(rule: Json, name: str, upstream_name: str) -> Upstream:
    """The rule's upstream, with the rule's login."""
    host = rule["upstreamRegistryUrl"]
    addresses = cloud.running().addresses
    match = _ECR.fullmatch(host)
    if match:
        account, region = match[1], match[2]
        login = "AWS", _ecr_password(rule, (account, region), name, upstream_name)
        return Upstream(addresses.registry(account, region), login)
    if host not in UPSTREAM_HOSTS:
        raise UpstreamError(0, f"no such host: {host}")
    return Upstream(addresses.upstream(host), _secret(rule))


@documented("ECR user guide, pull-through-cache-creating-secret: username and accessToken")
def _secret(rule: Json) -> tuple[str, str] | None:
    if "credentialArn" not in rule:
        return None
    try:
        secret = json.loads(aws.secret_string(rule["credentialArn"]) or "")
        return secret["username"], secret["accessToken"]
    except (ValueError, KeyError, TypeError):
        raise RegistryError("DENIED", "The credential of the pull through cache rule cannot be read", 403) from None


@documented("ECR user guide, pull-through-cache-private: what customRoleArn must trust and allow, upstream and here")
@assumed("without a role, the service-linked role acts for the account")
def _ecr_password(rule: Json, upstream: tuple[str, str], name: str, upstream_name: str) -> str:
    home = aws.account(), aws.region()
    key, role = home[0], rule.get("customRoleArn")
    try:
        if role:
            key = aws.service_session(role, PRINCIPAL, "ECRPullThroughCache")["AccessKeyId"]
            refused = aws.denial(key, "ecr:GetAuthorizationToken", "*")
            if refused:
                raise RegistryError("DENIED", refused, 403)
        if role and name:
            _check_role(Token(key, home[0], home[1]), upstream, name, upstream_name)
        aws.act_in(home[0], upstream[1])
        return tokens.mint(key)[0]
    except AwsError as error:
        raise RegistryError("DENIED", error.message, 403) from error
    finally:
        aws.act_in(*home)


def _check_role(token: Token, upstream: tuple[str, str], name: str, upstream_name: str) -> None:
    home = token.account, token.region
    for where, repository, actions in ((upstream, upstream_name, UPSTREAM_ACTIONS), (home, name, CACHE_ACTIONS)):
        visitor = Visitor(token, *where)
        for action in actions:
            visitor.require(action, repository)


@documented("API reference, ImageFailureCode: UpstreamAccessDenied, UpstreamTooManyRequests, UpstreamUnavailable")
@documented("ECR user guide, error-pullthroughcache: 403 for a Docker Hub official image without library/")
@assumed("codes, statuses and wordings of the registry API but for 403")
def _as_registry_error(error: UpstreamError) -> RegistryError:
    if error.status in (401, 403):
        return RegistryError("DENIED", f"The upstream registry denied access: {error.reason}", 403)
    if error.status == 404:
        return manifest_unknown()
    if error.status == 429:
        return RegistryError("TOOMANYREQUESTS", f"The upstream registry limits requests: {error.reason}", 429)
    return RegistryError("UNAVAILABLE", f"The upstream registry is not available: {error.reason}", 503)
