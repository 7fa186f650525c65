"""The role pull_through_cache and real clients: each upstream, each permission, each promise about the cache."""

from __future__ import annotations

import base64
import json
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from loopback.client import Cloud, FullCloud
from running import PlaybookRun, run_playbook

ROLE = "stevedore.ecr.pull_through_cache"
HUB_HOST = "registry-1.docker.io"
OTHER = "210987654321"
DAY = 24 * 3600
TOKEN = "hubtoken"
HUB = {"username": "hubuser", "access_token": TOKEN}

Statement = dict[str, Any]


@dataclass
class Engine:
    """The full cloud's Docker Engine, and the role that makes what it pulls from."""

    cloud: FullCloud
    directory: Path
    pulled: list[str] = field(default_factory=list)

    def cache(self, upstreams: dict[str, Any], *, fails: bool = False, **variables: Any) -> dict[str, Any]:
        """Run the role, from outside the namespace; what it returns."""
        told = self.directory / "result.json"
        copy = {"content": "{{ pull_through_cache_result | to_json }}", "dest": str(told), "mode": "0600"}
        given = {f"pull_through_cache_{name}": value for name, value in variables.items()}
        play = {
            "name": "Cache",
            "hosts": "localhost",
            "gather_facts": False,
            "vars": {"pull_through_cache_upstreams": upstreams, **given},
            "roles": [{"role": ROLE}],
            "post_tasks": [{"ansible.builtin.copy": copy}],
        }
        run = self.run([play])
        assert run.status == (2 if fails else 0), run.output
        return {"output": run.output} if fails else json.loads(told.read_text())

    def run(self, plays: list[dict[str, Any]]) -> PlaybookRun:
        return run_playbook(plays, directory=self.directory, environment=Cloud.environment(self.cloud))

    def statements(self, result: dict[str, Any]) -> list[Statement]:
        """What the policy says that the role made."""
        iam, arn = self.cloud.client("iam"), result["policy_arn"]
        version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
        document = iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"]
        return list(document["Statement"])

    def login(self, credentials: dict[str, str] | None = None, host: str = "") -> str:
        """What stops `docker login`, or nothing."""
        ecr = self.cloud.client("ecr", credentials=credentials)
        try:
            token = ecr.get_authorization_token()["authorizationData"][0]["authorizationToken"]
        except ecr.exceptions.ClientError as error:
            return str(error)
        password = base64.b64decode(token).decode().partition(":")[2]
        host = host or self.host
        done = self.cloud.docker("login", "--username", "AWS", "--password-stdin", host, stdin=password)
        return "" if done.returncode == 0 else done.stderr

    @property
    def host(self) -> str:
        return self.cloud.registry.removeprefix("https://")

    def pull(self, address: str) -> str:
        """What stops `docker pull`, or nothing."""
        done = self.cloud.docker("pull", address)
        if done.returncode == 0:
            self.pulled.append(address)
        return "" if done.returncode == 0 else done.stderr.strip()

    def digest(self, address: str) -> str:
        shown = self.cloud.docker("image", "inspect", "--format", "{{index .RepoDigests 0}}", address)
        return shown.stdout.strip().partition("@")[2]

    def forget(self) -> None:
        if self.pulled:
            self.cloud.docker("rmi", "--force", *self.pulled)


@pytest.fixture
def engine(full: FullCloud, tmp_path: Path) -> Any:
    engine = Engine(full, tmp_path)
    yield engine
    engine.forget()


def allow(*actions: str, **more: Any) -> Statement:
    return {"Effect": "Allow", "Action": list(actions), "Resource": "*", **more}


def other_registry(cloud: FullCloud) -> dict[str, Any]:
    """An ECR upstream in another account, and what the rule needs to read from it."""
    host = f"{OTHER}.dkr.ecr.{cloud.region}.amazonaws.com"
    trust = {"Effect": "Allow", "Principal": {"Service": "pullthroughcache.ecr.amazonaws.com"}}
    trust["Action"] = "sts:AssumeRole"
    actions = ["GetAuthorizationToken", "BatchGetImage", "GetDownloadUrlForLayer", "BatchImportUpstreamImage"]
    actions += ["GetImageCopyStatus", "InitiateLayerUpload", "UploadLayerPart", "CompleteLayerUpload", "PutImage"]
    iam = cloud.client("iam")
    iam.create_role(RoleName="ecr-cache", AssumeRolePolicyDocument=policy(trust))
    reading = allow(*(f"ecr:{action}" for action in actions))
    iam.put_role_policy(RoleName="ecr-cache", PolicyName="read", PolicyDocument=policy(reading))
    role = f"arn:aws:iam::{cloud.account}:role/ecr-cache"
    return {"upstream": "ecr", "upstream_url": host, "custom_role_arn": role}


def policy(*statements: Statement) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def publish_in_other_account(cloud: FullCloud, repository: str) -> None:
    """By way of a cache of its own: nothing else puts an image there from outside."""
    ecr = cloud.client("ecr", account=OTHER)
    if not ecr.describe_pull_through_cache_rules()["pullThroughCacheRules"]:
        ecr.create_pull_through_cache_rule(ecrRepositoryPrefix="team", upstreamRegistryUrl="quay.io")
    cloud.publish("quay.io", repository.removeprefix("team/"), "1", seed=repository)
    ecr.batch_get_image(repositoryName=repository, imageIds=[{"imageTag": "1"}])
    readers = ["BatchGetImage", "GetDownloadUrlForLayer", "BatchImportUpstreamImage", "GetImageCopyStatus"]
    statement = {"Sid": "Read", "Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{cloud.account}:root"}}
    statement["Action"] = [f"ecr:{action}" for action in readers]  # type: ignore[assignment]
    ecr.set_repository_policy(repositoryName=repository, policyText=policy(statement))


# ------------------------------------------------------------------ each upstream, each permission

UPSTREAMS: dict[str, dict[str, Any] | None] = {
    "docker-hub": HUB,
    "github": {**HUB, "upstream": "ghcr"},
    "gitlab": HUB,
    "azure": {**HUB, "upstream": "acr", "upstream_url": "example.azurecr.io"},
    "chainguard": HUB,
    "quay": None,
    "kubernetes": {"upstream": "k8s"},
    "ecr-public": None,
}
HOSTS = {
    "docker-hub": HUB_HOST,
    "github": "ghcr.io",
    "gitlab": "registry.gitlab.com",
    "azure": "example.azurecr.io",
    "chainguard": "cgr.dev",
    "quay": "quay.io",
    "kubernetes": "registry.k8s.io",
    "ecr-public": "public.ecr.aws",
}
WORKS, REFUSED = "pulled", "refused"


def test_each_upstream_can_be_pulled_with_the_policy_and_without_none_of_its_actions(
    full: FullCloud, engine: Engine
) -> None:
    """A table: for each upstream, what becomes of `docker pull` with one action of the policy missing."""
    upstreams = {**UPSTREAMS, "account": other_registry(full)}
    result = engine.cache(upstreams, tags={"team": "platform"})
    statements = engine.statements(result)
    actions = sorted(action for statement in statements for action in statement["Action"])
    table: dict[str, dict[str, str]] = {}
    for number, missing in enumerate(["", *actions]):
        kept = [{**s, "Action": rest} for s in statements if (rest := [a for a in s["Action"] if a != missing])]
        login = engine.login(full.role(f"puller-{number}", kept))
        for prefix in upstreams:
            repository = f"team/app-{number}"
            if prefix == "account":
                publish_in_other_account(full, repository)
            else:
                full.publish(HOSTS[prefix], repository, "1", seed=f"{prefix}-{number}")
            failure = login or engine.pull(f"{result['pull_urls'][prefix]}/{repository}:1")
            table.setdefault(prefix, {})[missing or "nothing"] = failure
        full.docker("logout", engine.host)
    show(table)
    for prefix, row in table.items():
        assert row.pop("nothing") == "", prefix
        # A pull does not ask whether a layer is there. Those who copy images do.
        assert row.pop("ecr:BatchCheckLayerAvailability") == "", prefix
        assert all(row.values()), prefix


def show(table: dict[str, dict[str, str]]) -> None:
    columns = list(next(iter(table.values())))
    width = max(map(len, columns))
    print(f"\n{'without':{width}}  " + "  ".join(f"{prefix:10}" for prefix in table))
    for column in columns:
        cells = [REFUSED if row[column] else WORKS for row in table.values()]
        print(f"{column:{width}}  " + "  ".join(f"{cell:10}" for cell in cells))


def test_whoever_asks_for_a_layer_needs_to_be_allowed_to(full: FullCloud, engine: Engine) -> None:
    """skopeo asks whether the layers of an image are in the registry that it copies to, and so does `docker push`."""
    statements = engine.statements(engine.cache({"quay": None}))
    full.publish("quay.io", "a/b", "1")
    answers = []
    for missing in ("", "ecr:BatchCheckLayerAvailability"):
        kept = [{**s, "Action": [a for a in s["Action"] if a != missing]} for s in statements]
        credentials = full.role(f"asker-{len(answers)}", kept)
        ecr = full.client("ecr", credentials=credentials)
        image = ecr.batch_get_image(repositoryName="quay/a/b", imageIds=[{"imageTag": "1"}])["images"][0]
        layer = json.loads(image["imageManifest"])["layers"][0]["digest"]
        token = ecr.get_authorization_token()["authorizationData"][0]["authorizationToken"]
        asked = ["curl", "--silent", "--head", "--output", "/dev/null", "--write-out", "%{http_code}"]
        url = f"https://{engine.host}/v2/quay/a/b/blobs/{layer}"
        answers.append(full.run([*asked, "--header", f"Authorization: Basic {token}", url]).stdout)
    assert answers == ["200", "403"]


# ------------------------------------------------------------------ other accounts


def test_another_account_pulls_first(full: FullCloud, engine: Engine) -> None:
    full.publish("quay.io", "a/b", "1")
    consumer = full.role("consumer", [allow("ecr:*")], account=OTHER)
    engine.cache({"quay": None})
    assert engine.login(consumer) == ""
    assert engine.pull(f"{engine.host}/quay/a/b:1")
    engine.cache({"quay": None}, cross_account_principals=[OTHER])
    assert engine.pull(f"{engine.host}/quay/a/b:1") == ""


def test_a_registry_of_another_account_is_cached_below_a_prefix_of_its_own(full: FullCloud, engine: Engine) -> None:
    upstream = {**other_registry(full), "upstream_repository_prefix": "team"}
    engine.cache({"ours": upstream})
    publish_in_other_account(full, "team/app")
    assert engine.login() == ""
    assert engine.pull(f"{engine.host}/ours/app:1") == ""
    full.client("iam").delete_role_policy(RoleName="ecr-cache", PolicyName="read")
    publish_in_other_account(full, "team/other")
    assert engine.pull(f"{engine.host}/ours/other:1")


# ------------------------------------------------------------------ what the cache does


def test_a_wrong_token_is_caught_when_it_is_deployed(full: FullCloud, engine: Engine) -> None:
    output = engine.cache({"docker-hub": {**HUB, "access_token": "a-wrong-token"}}, fails=True)["output"]
    assert "registry-1.docker.io cannot be used with arn:aws:secretsmanager:" in output
    assert "a-wrong-token" not in output


def test_what_is_cached_is_served_when_docker_hub_limits_pulls(full: FullCloud, engine: Engine) -> None:
    for repository in ("library/old", "library/new"):
        full.publish(HUB_HOST, repository, "1", seed=repository)
    engine.cache({"docker-hub": HUB}, warm=["old:1"])
    full.advance(DAY + 1)
    full.knobs(hub__limit=0)
    assert engine.login() == ""
    assert engine.pull(f"{engine.host}/docker-hub/library/old:1") == ""
    assert "limit" in engine.pull(f"{engine.host}/docker-hub/library/new:1")


def test_an_immutable_tag_stays_and_a_mutable_one_follows_the_upstream(full: FullCloud, engine: Engine) -> None:
    upstreams = {
        "fixed": {"upstream": "quay", "image_tag_mutability": "IMMUTABLE"},
        "moving": {"upstream": "quay"},
    }
    engine.cache(upstreams)
    assert engine.login() == ""
    before = full.publish("quay.io", "a/b", "1", seed="before")["digest"]
    addresses = [f"{engine.host}/{prefix}/a/b:1" for prefix in upstreams]
    assert [engine.pull(address) for address in addresses] == ["", ""]
    after = full.publish("quay.io", "a/b", "1", seed="after")["digest"]
    full.advance(DAY + 1)
    full.docker("logout", engine.host)
    assert engine.login() == ""
    assert [engine.pull(address) for address in addresses] == ["", ""]
    assert [engine.digest(address) for address in addresses] == [before, after]


def test_root_caches_what_no_other_prefix_does(full: FullCloud, engine: Engine) -> None:
    for host in (HUB_HOST, "quay.io"):
        full.publish(host, "org/app", "1", seed=host)
    result = engine.cache({"ROOT": {**HUB, "upstream": "docker-hub"}, "quay": None})
    assert result["pull_urls"] == {"ROOT": engine.host, "quay": f"{engine.host}/quay"}
    assert engine.login(full.role("puller", engine.statements(result))) == ""
    assert engine.pull(f"{engine.host}/org/app:1") == ""
    assert engine.pull(f"{engine.host}/quay/org/app:1") == ""


def test_more_than_fifty_rules_are_told_what_to_do(full: FullCloud, engine: Engine) -> None:
    output = engine.cache({f"quay-{n:02}": {"upstream": "quay"} for n in range(51)}, fails=True)["output"]
    assert "quay-50: Failed to create the pull-through cache rule" in output
    assert "Amazon ECR allows 50 rules in a registry and region, and the quota cannot be raised" in output


def test_warm_images_can_be_pulled_without_the_upstream_and_by_digest(full: FullCloud, engine: Engine) -> None:
    made = full.publish("quay.io", "a/b", "1", platforms=["linux/amd64", "linux/arm64"])
    result = engine.cache({"quay": None}, warm=["quay.io/a/b:1"])
    assert result["warmed"][0]["digest"] == made["digest"]
    full.inject({"host": "quay.io", "status": 503, "times": -1})
    assert engine.login() == ""
    assert engine.pull(f"{engine.host}/quay/a/b@{made['digest']}") == ""


# ------------------------------------------------------------------ clients and their files


@pytest.fixture
def files(full: FullCloud, engine: Engine, tmp_path: Path) -> Path:
    for name in ("by-containerd", "by-skopeo", "by-docker"):
        full.publish(HUB_HOST, f"library/{name}", "1", seed=name)
    upstreams = {"docker-hub": HUB, "ROOT": {**HUB, "upstream": "docker-hub"}}
    engine.cache(upstreams, client_files_dir=str(tmp_path / "clients"))
    return tmp_path / "clients"


def cached(cloud: FullCloud) -> list[str]:
    return [found["repositoryName"] for found in cloud.client("ecr").describe_repositories()["repositories"]]


def password(cloud: FullCloud) -> str:
    token = cloud.client("ecr").get_authorization_token()["authorizationData"][0]["authorizationToken"]
    return base64.b64decode(token).decode().partition(":")[2]


def test_containerd_pulls_through_the_cache_by_the_name_of_the_upstream(full: FullCloud, files: Path) -> None:
    socket = next(full.directory.rglob("containerd.sock"))
    login = f"AWS:{password(full)}"
    hosts = files / "containerd"
    ctr = ["ctr", "--address", str(socket), "--namespace", "test", "images"]
    pulled = full.run([*ctr, "pull", "--hosts-dir", str(hosts), "--user", login, "docker.io/library/by-containerd:1"])
    assert pulled.returncode == 0, pulled.stderr
    full.run([*ctr, "rm", "docker.io/library/by-containerd:1"])
    assert len([name for name in cached(full) if name.endswith("library/by-containerd")]) == 1


def test_skopeo_pulls_through_the_cache_by_the_name_of_the_upstream(
    full: FullCloud, engine: Engine, files: Path, tmp_path: Path
) -> None:
    assert engine.login() == ""
    authfile = str(full.directory / "docker-config" / "config.json")
    copy = ["skopeo", "--registries-conf", str(files / "crio" / "registries.conf"), "--insecure-policy", "copy"]
    source, target = "docker://docker.io/library/by-skopeo:1", f"dir:{tmp_path / 'copy'}"
    copied = full.run([*copy, "--authfile", authfile, source, target])
    assert copied.returncode == 0, copied.stderr
    assert "docker-hub/library/by-skopeo" in cached(full)


def test_the_kubernetes_secret_logs_docker_in_to_docker_hub(full: FullCloud, engine: Engine, files: Path) -> None:
    full.publish(HUB_HOST, "acme/private", "1", private=True)
    assert engine.pull("acme/private:1")
    secret = yaml.safe_load((files / "kubernetes" / "pull-secret.yml").read_text())
    configuration = full.directory / "docker-config"
    configuration.mkdir(exist_ok=True)
    (configuration / "config.json").write_bytes(base64.b64decode(secret["data"][".dockerconfigjson"]))
    assert engine.pull("acme/private:1") == ""


@pytest.fixture
def mirrored(full: FullCloud) -> Any:
    """mirrored(configuration): Docker Engine reads it anew; what it says of its mirrors."""
    daemon = full.directory / "daemon.json"
    ordinary = daemon.read_text()

    def reload(text: str) -> str:
        daemon.write_text(text)
        before = (full.directory / "dockerd.log").read_text()
        os.kill(int((full.directory / "docker.pid").read_text()), signal.SIGHUP)
        wait_for(lambda: _has_read((full.directory / "dockerd.log").read_text().removeprefix(before)))
        return full.docker("info", "--format", "{{json .RegistryConfig.Mirrors}}").stdout

    yield reload
    reload(ordinary)


def _has_read(log: str) -> bool:
    return "Reloaded configuration" in log or "Error reconfiguring the daemon" in log


def wait_for(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not done():
        assert time.monotonic() < deadline, "Docker Engine did not read its configuration"
        time.sleep(0.02)


def test_docker_engine_mirrors_as_the_readme_says(
    full: FullCloud, engine: Engine, files: Path, mirrored: Callable[[str], str]
) -> None:
    with_path = json.dumps({"registry-mirrors": [f"https://{engine.host}/docker-hub"]})
    assert json.loads(mirrored(with_path)) == []
    assert "invalid mirror: path" in (full.directory / "dockerd.log").read_text()

    assert json.loads(mirrored((files / "docker" / "daemon.json").read_text())) == [f"https://{engine.host}/"]
    assert engine.login() == ""
    assert engine.pull("by-docker:1") == ""
    assert "library/by-docker" not in cached(full)  # a login for the mirror is not used, and nothing says so
    engine.forget()
    auth = base64.b64encode(f"AWS:{password(full)}".encode()).decode()
    configuration = {"auths": {"https://index.docker.io/v1/": {"auth": auth}}}
    (full.directory / "docker-config" / "config.json").write_text(json.dumps(configuration))
    assert engine.pull("by-docker:1") == ""
    assert "library/by-docker" in cached(full)
