"""What a build finds around it: its environment variables, resolved in the service role, and its image."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from loopback import references
from loopback.acting import Actor
from loopback.fidelity import documented
from loopback.references import Unresolved
from loopback.services.codebuild.buildspec import Buildspec
from loopback.services.codebuild.record import Build, PhaseFailed

Json = dict[str, Any]
SOURCE_DIRECTORY = "/codebuild/output/src"


@dataclass
class Variables:
    values: dict[str, str] = field(default_factory=dict)
    secret: set[str] = field(default_factory=set)  # values that the log must not show

    def mask(self, line: str) -> str:
        for value in self.secret:
            line = line.replace(value, "***")
        return line


@documented("CodeBuild user guide, build-env-ref-env-vars: StartBuild, then the project, then the buildspec")
def variables(actor: Actor, build: Build, spec: Buildspec) -> Variables:
    found = Variables({name: str(value) for name, value in (spec.env.get("variables") or {}).items()})
    read = {"PARAMETER_STORE": references.parameter, "SECRETS_MANAGER": references.secret}
    wanted = [("PARAMETER_STORE", *one) for one in (spec.env.get("parameter-store") or {}).items()]
    wanted += [("SECRETS_MANAGER", *one) for one in (spec.env.get("secrets-manager") or {}).items()]
    wanted += [(one["type"], one["name"], one["value"]) for one in build.project["environment"]["environmentVariables"]]
    # A variable that is overridden is not looked up.
    for kind, name, value in {name: (kind, name, value) for kind, name, value in wanted}.values():
        if kind == "PLAINTEXT":
            found.values[name] = value
            continue
        try:
            found.values[name] = read[kind](actor, str(value))
        except Unresolved as error:
            service = "Parameter Store" if kind == "PARAMETER_STORE" else "Secrets Manager"
            message = f"Error reading {service} value {value} of {name}: {error}"
            raise PhaseFailed("Decrypted Variables Error", message) from error
        if found.values[name]:
            found.secret.add(found.values[name])
    found.values |= _of_codebuild(build)
    return found


@documented("CodeBuild user guide, build-env-ref-env-vars")
def _of_codebuild(build: Build) -> dict[str, str]:
    document = build.document
    of_batch = {"CODEBUILD_BATCH_BUILD_IDENTIFIER": build.batch_identifier} if build.batch_identifier else {}
    return {
        "CI": "true",
        "CODEBUILD_CI": "true",
        "CODEBUILD_BUILD_ARN": document["arn"],
        "CODEBUILD_BUILD_ID": document["id"],
        "CODEBUILD_BUILD_IMAGE": document["environment"]["image"],
        "CODEBUILD_BUILD_NUMBER": str(document["buildNumber"]),
        "CODEBUILD_INITIATOR": document["initiator"],
        "CODEBUILD_KMS_KEY_ID": document["encryptionKey"],
        "CODEBUILD_LOG_PATH": document["logs"].get("streamName", ""),
        "CODEBUILD_SOURCE_REPO_URL": document["source"].get("location", ""),
        "CODEBUILD_SRC_DIR": SOURCE_DIRECTORY,
        "CODEBUILD_START_TIME": str(int(document["startTime"] * 1000)),
        **of_batch,
    }
