"""sync_steps.py: what a run of a pull-sync asks of AWS, step by step, for one set of credentials after another.

Runs inside of a full cloud. Reads cases from its standard input, as JSON, and writes what each came to: the messages of
the step that failed, or nothing. Each case starts from the same state: one destination with a tag that nobody asks for.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import boto3
from ecr_api import push_image

from running import run_module

Json = dict[str, Any]


def main() -> None:
    given = json.load(sys.stdin)
    json.dump([_attempt(given, case) for case in given["cases"]], sys.stdout)


def _attempt(given: Json, case: Json) -> str:
    _start_afresh(given, case)
    where = {"bucket": given["bucket"], "lock": given["lock"], "owner": "one"}
    told, claim = _step(case, "job_claim", {**where, "key": given["key"]})
    if told:
        return told
    options = {name.removeprefix("image_mirror_"): value for name, value in claim["variables"].items()}
    options.pop("prune")
    protect = options.pop("prune_protect")
    told, run = _step(case, "ecr_image_mirror", {**options, "images": claim["images"], "transport": "direct"})
    if told:
        return told
    told, _pruned = _step(case, "ecr_image_prune", {"images": run["images"], "protect": protect})
    if told:
        return told
    results = {"bucket": given["bucket"], "key": f"{given['results']}/one/", "paths": [__file__]}
    told, _kept = _step(case, "job_object", results)
    if told:
        return told
    return _step(case, "job_claim", {**where, "key": given["key"], "state": "released"})[0]


def _step(case: Json, name: str, arguments: Json) -> tuple[str, Json]:
    """What is wrong, and what it has returned."""
    done = run_module(name, arguments, environment={**_environment(), **case["environment"]})
    wrong = [done.msg] if done.failed else []
    wrong += [image["error"]["msg"] for image in done.returned.get("images", []) if image.get("error")]
    return "\n".join(wrong), done.returned


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith("AWS_")}


def _start_afresh(given: Json, case: Json) -> None:
    boto3.client("s3").delete_object(Bucket=given["bucket"], Key=given["lock"])
    ecr = boto3.client("ecr")
    for repository in given["destinations"]:
        try:
            ecr.delete_repository(repositoryName=repository, force=True)
        except ecr.exceptions.RepositoryNotFoundException:
            continue
    secret = os.environ["AWS_SECRET_ACCESS_KEY"]
    there = boto3.client(
        "ecr", region_name=given["region"], aws_access_key_id=given["account"], aws_secret_access_key=secret
    )
    for repository in given["sources"]:
        there.set_repository_policy(repositoryName=repository, policyText=json.dumps(case["source_policy"]))
    ecr.create_repository(repositoryName=given["destinations"][0])
    push_image(ecr, given["destinations"][0], ["old"])


if __name__ == "__main__":
    main()
