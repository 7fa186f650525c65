"""Repository creation templates, and the repositories that are made from them."""

from __future__ import annotations

from loopback import aws
from loopback.clock import clock
from loopback.errors import AwsError, RegistryError
from loopback.fidelity import assumed, documented, from_model
from loopback.knobs import knobs
from loopback.services.ecr import guard, lifecycle, policies, repositories, state
from loopback.services.ecr.service import service
from loopback.services.ecr.state import Json, Repository

ROLE_SERVICE = "ecr.amazonaws.com"
FIELDS = (
    "description",
    "encryptionConfiguration",
    "resourceTags",
    "imageTagMutability",
    "imageTagMutabilityExclusionFilters",
    "repositoryPolicy",
    "lifecyclePolicy",
    "appliedFor",
    "customRoleArn",
)


@service.operation
@from_model
@assumed("wording of TemplateAlreadyExistsException; the prefix comes back without its slash")
def create_repository_creation_template(request: Json) -> Json:
    prefix, templates = _prefix(request), state.registry().templates
    _check(request)
    if prefix in templates:
        message = f"The repository creation template with prefix '{prefix}' already exists in {_here()}"
        raise AwsError("TemplateAlreadyExistsException", message)
    templates[prefix] = _template(prefix, request)
    return _answer(templates[prefix])


@service.operation
@from_model
@documented("ECR API reference, UpdateRepositoryCreationTemplate: an omitted imageTagMutability becomes MUTABLE")
@assumed("other fields that are left out are cleared, but for appliedFor; knob ecr.templates.omitted: clear or keep")
def update_repository_creation_template(request: Json) -> Json:
    before = _named(request)
    _check(request)
    keep_all = knobs.get("ecr.templates.omitted", "clear") == "keep"
    kept = {name: value for name, value in before.items() if keep_all or name == "appliedFor"}
    without_mutability = {k: v for k, v in kept.items() if not k.startswith("imageTagMutability")}
    after = {**_template(before["prefix"], {**without_mutability, **request}), "createdAt": before["createdAt"]}
    state.registry().templates[before["prefix"]] = after
    return _answer(after)


@service.operation
@from_model
def delete_repository_creation_template(request: Json) -> Json:
    template = _named(request)
    del state.registry().templates[template["prefix"]]
    return _answer(template)


@service.operation
@from_model
@documented("ECR API reference, DescribeRepositoryCreationTemplates has no error for a prefix without a template")
@assumed("such a prefix is left out of the answer")
def describe_repository_creation_templates(request: Json) -> Json:
    templates = state.registry().templates
    wanted = [prefix.rstrip("/") for prefix in request.get("prefixes") or sorted(templates)]
    found = [templates[prefix] for prefix in wanted if prefix in templates]
    return {"registryId": aws.account(), **state.page(found, request, "repositoryCreationTemplates")}


def _template(prefix: str, settings: Json) -> Json:
    now = clock.now()
    given = {name: settings[name] for name in FIELDS if settings.get(name)}
    for name, check in (("repositoryPolicy", _repository_policy), ("lifecyclePolicy", lifecycle.checked)):
        if name in given:
            given[name] = check(given[name])
    return {
        "prefix": prefix,
        "imageTagMutability": "MUTABLE",
        "encryptionConfiguration": {"encryptionType": "AES256"},
        **given,
        "createdAt": now,
        "updatedAt": now,
    }


@documented("ECR user guide, repository-creation-templates: what the caller must be allowed to do")
@assumed("it is asked for repositories under the prefix; policies are checked when the template is made")
def _check(request: Json) -> None:
    prefix = _prefix(request)
    covered = "*" if prefix == "ROOT" else f"{prefix}/*"
    guard.require("ecr:CreateRepository", covered)
    if request.get("lifecyclePolicy"):
        guard.require("ecr:PutLifecyclePolicy", covered)
    if request.get("repositoryPolicy"):
        guard.require("ecr:SetRepositoryPolicy", covered)
    guard.pass_role(request.get("customRoleArn"), ROLE_SERVICE)
    repositories.check_mutability(request)


def _repository_policy(text: str) -> str:
    return policies.checked(text, "repository")


@assumed("wording of TemplateNotFoundException")
def _named(request: Json) -> Json:
    template = state.registry().templates.get(_prefix(request))
    if template is None:
        message = f"The repository creation template with prefix '{_prefix(request)}' does not exist in {_here()}"
        raise AwsError("TemplateNotFoundException", message)
    return template


def _prefix(request: Json) -> str:
    return str(request["prefix"]).rstrip("/")


def _here() -> str:
    return f"the registry with id '{aws.account()}'"


def _answer(template: Json) -> Json:
    return {"registryId": aws.account(), "repositoryCreationTemplate": template}


# ------------------------------------------------------------------ repositories made from templates


def covers(name: str, applied_for: str) -> bool:
    """Whether a template would make repository `name` in this case."""
    return _matching(name, applied_for) is not None


@documented("ECR user guide, repository-creation-templates: applied once, when the repository is made")
def create_repository_for(name: str, applied_for: str) -> Repository:
    """A repository from the template that covers it, or with default settings."""
    template = _matching(name, applied_for) or {}
    _check_template_role(name, template)
    settings = {**template, "tags": template.get("resourceTags")}
    try:
        repository = repositories.add(name, settings)
    except AwsError as error:
        raise _not_made(name) from error
    repository.policy = template.get("repositoryPolicy")
    repository.lifecycle = template.get("lifecyclePolicy")
    return repository


def sets_tags(name: str, applied_for: str) -> bool:
    return bool((_matching(name, applied_for) or {}).get("resourceTags"))


@documented("ECR user guide, repository-creation-templates: the longest prefix, ROOT for what none covers")
@assumed("among the templates that are for this case")
def _matching(name: str, applied_for: str) -> Json | None:
    suitable = {p: t for p, t in state.registry().templates.items() if applied_for in t["appliedFor"]}
    found = state.longest_prefix(suitable, name)
    return found[1] if found else None


@documented("ECR user guide, repository-creation-templates-custom: tags and KMS need a role that may set them")
@assumed("what fails there shows as a repository that is not there")
def _check_template_role(name: str, template: Json) -> None:
    uses_kms = template.get("encryptionConfiguration", {}).get("encryptionType", "AES256") != "AES256"
    role = template.get("customRoleArn")
    if not role:
        if uses_kms or template.get("resourceTags"):
            raise _not_made(name)
        return
    actions = ["ecr:CreateRepository", *(["ecr:TagResource"] if template.get("resourceTags") else [])]
    try:
        session = aws.service_session(role, ROLE_SERVICE, "ecr-template")
    except AwsError as error:
        raise _not_made(name) from error
    resource = aws.arn("ecr", f"repository/{name}")
    needed = [(action, resource) for action in actions]
    if uses_kms:
        key = template["encryptionConfiguration"].get("kmsKey") or "*"
        needed += [(f"kms:{action}", key) for action in ("CreateGrant", "RetireGrant", "DescribeKey")]
    if any(aws.denial(session["AccessKeyId"], action, where) for action, where in needed):
        raise _not_made(name)


def _not_made(name: str) -> RegistryError:
    return RegistryError("NAME_UNKNOWN", state.missing_repository(name, aws.account()), 404)
