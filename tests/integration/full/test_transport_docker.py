"""Copies by a real Docker Engine, from upstreams into ECR, judged by what docker and skopeo say of them."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from builds import until
from ecr_api import allow

from loopback.client import REPOSITORY, FullCloud

Json = dict[str, Any]

BUSYBOX = Path("/bin/busybox")
HUB = "registry-1.docker.io"
SOURCE_DIGEST, RECIPE = "dev.stevedore.source.digest", "dev.stevedore.recipe"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
NOWHERE = "unix:///nowhere/docker.sock"
DIRECT = "transport: direct"


class Place:
    """A cloud, what is to be copied from it, and the ECR that it goes to."""

    def __init__(self, cloud: FullCloud) -> None:
        self.cloud = cloud
        self.host = cloud.registry.removeprefix("https://")
        self.ecr = cloud.client("ecr")

    def repository(self, *names: str, **settings: Any) -> None:
        for name in names:
            self.ecr.create_repository(repositoryName=name, **settings)

    def publish(self, name: str = "team/app", tag: str = "1", *, host: str = "quay.io", **more: Any) -> Json:
        binary = base64.b64encode(BUSYBOX.read_bytes()).decode()
        links = {f"bin/{name}": {"base64": binary, "mode": 0o755} for name in ("busybox", "sh")}
        return self.cloud.publish(host, name, tag, files=links, entrypoint=["/bin/busybox"], **more)

    def order(self, *images: Json, **more: Any) -> str:
        listed = [{**image, "destination": f"{self.host}/{image['destination']}"} for image in images]
        return json.dumps({"images": listed, **more})

    def run(
        self, order: str, *, prefix: tuple[str, ...] = (), environment: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        paths = [REPOSITORY / "tests" / "support", REPOSITORY / "tests" / "loopback"]
        found = {"PYTHONPATH": ":".join(map(str, paths)), **(environment or {})}
        program = str(REPOSITORY / "tests" / "support" / "docker_copies.py")
        return self.cloud.run([*prefix, sys.executable, program], stdin=order, environment=found)

    def copy(self, *images: Json, **more: Any) -> list[Json]:
        how = {name: more.pop(name) for name in ("prefix", "environment") if name in more}
        done = self.run(self.order(*images, **more), **how)
        assert done.returncode == 0, done.stderr
        results: list[Json] = json.loads(done.stdout)
        return results

    def copied(self, *images: Json, **more: Any) -> list[Json]:
        results = self.copy(*images, **more)
        assert [result.get("action") for result in results] == ["copy"] * len(images), results
        return results

    def failure(self, *images: Json, **more: Any) -> str:
        """The error, of which all images but one may not have any."""
        (error,) = [result["error"]["msg"] for result in self.copy(*images, **more) if "error" in result]
        return str(error)

    # ------------------------------------------------------------------ what is where

    def raw(self, image: str) -> Json:
        """By skopeo, from ECR."""
        login = f"AWS:{self.password}"
        done = self.cloud.run(["skopeo", "inspect", "--raw", "--creds", login, f"docker://{self.host}/{image}"])
        assert done.returncode == 0, done.stderr
        document: Json = json.loads(done.stdout)
        return document

    @property
    def password(self) -> str:
        token = self.ecr.get_authorization_token()["authorizationData"][0]["authorizationToken"]
        return base64.b64decode(token).decode().partition(":")[2]

    def images(self, repository: str = "team/app") -> list[list[str]]:
        """The tags of each image in a repository of ECR."""
        found = self.ecr.describe_images(repositoryName=repository)["imageDetails"]
        return sorted(sorted(image.get("imageTags", [])) for image in found)

    def local(self) -> dict[str, list[str]]:
        """The engine's images: identity and names."""
        listed = self.cloud.docker("images", "--all", "--quiet", "--no-trunc").stdout.split()
        found = json.loads(self.cloud.docker("inspect", *sorted(set(listed))).stdout) if listed else []
        return {image["Id"]: sorted([*image["RepoTags"], *image["RepoDigests"]]) for image in found}

    def pull_as_anybody(self, image: str) -> str:
        """Pull from ECR and run; what it printed."""
        name = f"{self.host}/{image}"
        self.docker("login", "--username", "AWS", "--password-stdin", self.host, stdin=self.password)
        self.docker("pull", name)
        printed = self.docker("run", "--rm", "--network", "none", name, "echo", "it runs")
        self.docker("rmi", name)
        return printed

    def docker(self, *arguments: str, stdin: str | None = None) -> str:
        done = self.cloud.docker(*arguments, stdin=stdin)
        assert done.returncode == 0, done.stderr
        return done.stdout


def image(to: str = "team/app:1", source: str = "quay.io/team/app:1", **more: Any) -> Json:
    return {"source": source, "destination": to, **more}


@pytest.fixture
def place(full: FullCloud) -> Iterator[Place]:
    found = Place(full)
    found.repository("team/app")
    clean(found)
    yield found
    clean(found)


def clean(place: Place) -> None:
    while images := place.local():
        # Those that others are built on go with them, or can go then.
        done = [place.cloud.docker("rmi", "--force", identity) for identity in images]
        assert any(one.returncode == 0 for one in done), done


# ------------------------------------------------------------------ copies


def test_an_image_is_copied_with_its_record_and_nothing_is_left(place: Place) -> None:
    made = place.publish("library/bb", host=HUB)
    (result,) = place.copied(image(source="bb:1"))
    document = place.raw("team/app:1")
    assert document["mediaType"] == OCI_MANIFEST
    assert document["annotations"] == {SOURCE_DIGEST: made["digest"], RECIPE: "engine"}
    assert result["notes"] == []
    assert result["bytes"]["moved"] == sum(part["size"] for part in [document["config"], *document["layers"]])
    assert place.images() == [["1"]]
    assert place.local() == {}
    assert not (place.cloud.directory / "docker-config").exists()
    assert place.pull_as_anybody("team/app:1") == "it runs\n"


def test_one_platform_of_an_index(place: Place) -> None:
    place.publish(platforms=["linux/amd64", "linux/arm64"])
    place.copied(image(platforms=["linux/arm64/v8"]), image("team/app:own"))
    assert place.raw("team/app:1")["annotations"][RECIPE] == "platforms=linux/arm64;engine"
    assert [configuration(place, tag)["architecture"] for tag in ("1", "own")] == ["arm64", "amd64"]
    assert place.local() == {}


def configuration(place: Place, tag: str, platform: str = "") -> Json:
    """By skopeo, of an image in ECR."""
    os = ["--override-os", "linux", "--override-arch", platform] if platform else []
    command = ["skopeo", *os, "inspect", "--config", "--creds", f"AWS:{place.password}"]
    done = place.cloud.run([*command, f"docker://{place.host}/team/app:{tag}"])
    assert done.returncode == 0, done.stderr
    found: Json = json.loads(done.stdout)
    return found


def test_several_platforms_become_an_index(place: Place) -> None:
    made = place.publish(platforms=["linux/amd64", "linux/arm64", "linux/s390x"])
    place.copied(image(platforms=["linux/amd64", "linux/arm64"]))
    index = place.raw("team/app:1")
    assert index["annotations"][SOURCE_DIGEST] == made["digest"]
    assert [child["platform"]["architecture"] for child in index["manifests"]] == ["amd64", "arm64"]
    assert [configuration(place, "1", name)["architecture"] for name in ("amd64", "arm64")] == ["amd64", "arm64"]
    assert place.images() == [[], [], ["1"]]
    assert place.local() == {}
    assert place.pull_as_anybody("team/app:1") == "it runs\n"


def test_a_platform_that_is_not_there(place: Place) -> None:
    place.publish(platforms=["linux/amd64", "linux/arm64"])
    place.publish("team/single")
    single = image("team/app:2", "quay.io/team/single:1", platforms=["linux/arm64"])
    index, other = place.copy(image(platforms=["linux/s390x"]), single)
    assert "There is no linux/s390x" in index["error"]["msg"]
    assert "is for linux/amd64 only, not for linux/arm64" in other["error"]["msg"]
    assert (place.images(), place.local()) == ([], {})


def test_what_is_unchanged_needs_no_engine(place: Place) -> None:
    place.publish()
    first = image(dockerfile=["RUN echo made > /made"])
    place.copied(first, image("team/app:2"))
    again = place.copy(first, image("team/app:2"), docker_host=NOWHERE)
    assert [result["action"] for result in again] == ["up_to_date"] * 2
    place.publish(seed="moved")
    assert "Docker Engine cannot be reached" in place.failure(first, docker_host=NOWHERE)


def test_tags_of_one_image_are_pulled_and_pushed_once(place: Place) -> None:
    place.publish()
    place.cloud.forget_calls()
    results = place.copied(*(image(f"team/app:{tag}") for tag in ("1", "1.2", "latest")))
    assert len({result["digest"] for result in results}) == 1
    assert sorted(result["bytes"]["moved"] > 0 for result in results) == [False, False, True]
    calls = [call for call in place.cloud.calls() if call["method"] == "PUT" and "/manifests/" in call["path"]]
    assert len(calls) == 4
    assert place.images() == [["1", "1.2", "latest"]]


def test_shared_layers_go_up_once_where_ecr_mounts(place: Place) -> None:
    names = [f"team/shared-{number}" for number in range(6)]
    place.repository(*names)
    for name in names:
        place.publish(name, base="shared", base_size=3_000_000)
    place.ecr.put_account_setting(name="BLOB_MOUNTING", value="ENABLED")
    results = place.copied(*(image(f"{name}:1", f"quay.io/{name}:1") for name in names))
    assert sum(result["bytes"]["mounted"] > 3_000_000 for result in results) == 5
    assert sum(result["bytes"]["moved"] > 3_000_000 for result in results) == 1
    for name in names:
        assert place.images(name) == [["1"]]
    assert place.local() == {}


def test_a_tag_that_moves_meanwhile_does_no_harm(place: Place) -> None:
    before = place.publish()
    place.cloud.inject({"host": "quay.io", "method": "GET", "path": "/manifests/", "delay": 1})
    with ThreadPoolExecutor() as pool:
        copy = pool.submit(place.copied, image())
        until(lambda: any(call["method"] == "HEAD" and "/manifests/1" in call["path"] for call in place.cloud.calls()))
        place.publish(seed="moved")
        copy.result()
    assert place.raw("team/app:1")["annotations"][SOURCE_DIGEST] == before["digest"]


def test_two_runs_at_the_same_time(place: Place) -> None:
    place.publish("team/one")
    place.publish("team/two")
    wanted = [image("team/app:1", "quay.io/team/one:1"), image("team/app:2", "quay.io/team/two:1")]
    with ThreadPoolExecutor() as pool:
        for results in pool.map(lambda _run: place.copy(*wanted), range(2)):
            assert {result.get("action") for result in results} <= {"copy", "up_to_date"}, results
    assert place.images() == [["1"], ["2"]]
    assert place.local() == {}


# ------------------------------------------------------------------ immutable tags, permissions


def test_an_immutable_repository(place: Place) -> None:
    place.repository("team/fixed", imageTagMutability="IMMUTABLE")
    place.publish()
    wanted = image("team/fixed:1")
    place.copied(wanted)
    (result,) = place.copy(wanted, docker_host=NOWHERE)
    assert result["action"] == "up_to_date"
    place.publish(seed="moved")
    assert "the tag 1 is immutable" in place.failure(wanted)
    assert place.images("team/fixed") == [["1"]]
    assert place.local() == {}


PUSHING = [
    "BatchCheckLayerAvailability",
    "BatchGetImage",
    "CompleteLayerUpload",
    "DescribeRepositories",
    "GetDownloadUrlForLayer",
    "InitiateLayerUpload",
    "PutImage",
    "UploadLayerPart",
    "GetAuthorizationToken",
    "GetAccountSetting",
]


def as_role(place: Place, *actions: str) -> dict[str, str]:
    credentials = place.cloud.role("mirror", [allow(*(f"ecr:{action}" for action in actions))])
    return place.cloud.environment(credentials=credentials)


def test_without_permission_to_remove_the_temporary_tag_nothing_is_lost(place: Place) -> None:
    place.publish()
    (result,) = place.copied(image(), environment=as_role(place, *PUSHING))
    (note,) = result["notes"]
    assert "ecr:BatchDeleteImage" in note
    left, published = place.images()[1], place.images()[0]
    assert published == ["1"]
    assert left[0].startswith("stevedore-temporary-")
    assert left[0] in note
    place.publish(seed="moved")
    (result,) = place.copied(image(), environment=as_role(place, *PUSHING, "BatchDeleteImage"))
    assert result["notes"] == []


def test_with_permission_it_is_all_that_it_takes(place: Place) -> None:
    place.publish()
    (result,) = place.copied(image(), environment=as_role(place, *PUSHING, "BatchDeleteImage"))
    assert result["notes"] == []
    assert place.images() == [["1"]]


def test_what_was_pushed_by_hand_stays_for_those_who_use_its_digest(place: Place) -> None:
    place.publish()
    name = f"{place.host}/team/app"
    place.docker("login", "--username", "AWS", "--password-stdin", place.host, stdin=place.password)
    for command in (["pull", "quay.io/team/app:1"], ["tag", "quay.io/team/app:1", f"{name}:1"], ["push", f"{name}:1"]):
        place.docker(*command)
    digest = place.ecr.describe_images(repositoryName="team/app")["imageDetails"][0]["imageDigest"]
    clean(place)
    (result,) = place.copied(image())
    assert result["previous_digest"] == digest != result["digest"]
    assert (place.images(), result["notes"]) == ([[], ["1"]], [])
    place.docker("pull", f"{name}@{digest}")


# ------------------------------------------------------------------ local images


def test_an_old_local_image_is_never_pushed(place: Place) -> None:
    old = place.publish()
    place.docker("pull", "quay.io/team/app:1")
    place.docker("tag", "quay.io/team/app:1", f"{place.host}/team/app:1")
    place.publish(seed="new")
    before = place.local()
    place.cloud.inject({"host": "quay.io", "method": "GET", "path": "/manifests/", "status": 404, "times": -1})
    assert "Docker Engine failed to pull quay.io/team/app@" in place.failure(image())
    assert (place.images(), place.local()) == ([], before)
    place.cloud.clear_faults()
    place.copied(image())
    assert place.raw("team/app:1")["annotations"][SOURCE_DIGEST] != old["digest"]
    assert place.local() == before


@pytest.mark.parametrize("by", ["tag", "digest", "nothing", "destination"])
def test_images_that_were_there_stay_with_their_names(place: Place, by: str) -> None:
    made = place.publish()
    if by == "destination":
        place.copied(image("team/app:old"))
        digest = place.ecr.describe_images(repositoryName="team/app")["imageDetails"][0]["imageDigest"]
        place.docker("login", "--username", "AWS", "--password-stdin", place.host, stdin=place.password)
        place.docker("pull", f"{place.host}/team/app@{digest}")
    else:
        place.docker("pull", f"quay.io/team/app@{made['digest']}" if by == "digest" else "quay.io/team/app:1")
    if by == "nothing":
        # Another image takes its tag away; its digest goes with that.
        place.publish("team/other", "1")
        place.docker("pull", "quay.io/team/other:1")
        place.docker("tag", "quay.io/team/app:1", "kept:1")
        place.docker("rmi", "quay.io/team/app:1")
        place.docker("tag", "quay.io/team/other:1", "kept:1")
    before = place.local()
    assert ([] in before.values()) == (by == "nothing")
    place.copied(image("team/app:new"))
    if by == "nothing":
        assert before.keys() == place.local().keys()
    else:
        assert place.local() == before


def test_images_are_removed_after_failures_too(place: Place) -> None:
    place.publish()
    place.cloud.inject({"host": place.host, "method": "POST", "path": "/blobs/uploads/", "status": 403, "times": -1})
    assert "Docker Engine failed to push" in place.failure(image())
    assert (place.images(), place.local()) == ([], {})


def test_keep_local_keeps_them_under_the_name_of_the_destination(place: Place) -> None:
    place.publish()
    place.publish("team/base")
    place.copied(
        image(), image("team/app:2", "quay.io/team/base:1", dockerfile=["RUN echo made > /made"]), keep_local=True
    )
    for tag in ("1", "2"):
        name = f"{place.host}/team/app:{tag}"
        assert place.docker("run", "--rm", "--network", "none", name, "echo", tag) == f"{tag}\n"
    names = [name for names in place.local().values() for name in names]
    assert not [name for name in names if "temporary" in name]
    assert sorted(name for name in names if place.host in name) == [f"{place.host}/team/app:{tag}" for tag in "12"]


# ------------------------------------------------------------------ builds


def test_lines_are_built_upon_the_source(place: Place) -> None:
    made = place.publish(config={"Env": ["PATH=/bin"]})
    lines = ["ARG WHO=world", "RUN echo \"hello $WHO '$(id -u)'\" > /hello", 'CMD ["cat", "/hello"]']
    place.copied(image(dockerfile=lines))
    document, config = place.raw("team/app:1"), configuration(place, "1")
    assert document["annotations"][SOURCE_DIGEST] == made["digest"]
    assert document["annotations"][RECIPE].startswith("dockerfile=sha256:")
    labels = {name: document["annotations"][name] for name in (SOURCE_DIGEST, RECIPE)}
    assert config["config"]["Labels"] == labels
    assert (place.images(), place.local()) == ([["1"]], {})
    name = f"{place.host}/team/app:1"
    place.docker("login", "--username", "AWS", "--password-stdin", place.host, stdin=place.password)
    assert place.docker("run", "--rm", "--network", "none", name) == "hello world '0'\n"


def test_lines_copy_from_a_private_image_by_the_login_of_the_run(place: Place) -> None:
    """Docker's configuration is not read for it, which names a helper that does not exist."""
    place.publish()
    place.publish("acme/private", host=HUB, private=True)
    config = place.cloud.directory / "helpless"
    config.mkdir(exist_ok=True)
    (config / "config.json").write_text(json.dumps({"credHelpers": {"example.com": "not-there"}}))
    wanted = image(dockerfile=["COPY --from=acme/private:1 /bin/sh /bin/copied"])
    anonymous = {"DOCKER_CONFIG": str(config)}
    assert "failed to build" in place.failure(wanted, environment=anonymous)
    place.copied(wanted, environment=anonymous, logins={"docker.io": ["hubuser", "hubtoken"]})
    assert place.images() == [["1"]]


def test_a_build_that_fails_tells_the_end_of_its_log_and_leaves_nothing(place: Place) -> None:
    place.publish(config={"Env": ["PATH=/bin"]})
    place.docker("pull", "quay.io/team/app:1")
    before = place.local()
    lines = ["RUN echo fine > /fine", "RUN echo the reason is this; exit 7"]
    error = place.failure(image(dockerfile=lines))
    assert "returned a non-zero code: 7" in error
    assert error.endswith("the reason is this") or "the reason is this\n" in error
    assert (place.images(), place.local()) == ([], before)


def test_a_build_for_a_platform_that_this_machine_cannot_run(place: Place) -> None:
    binary = base64.b64encode(foreign(BUSYBOX.read_bytes())).decode()
    files = {"bin/sh": {"base64": binary, "mode": 0o755}}
    place.cloud.publish("quay.io", "team/app", "1", files=files, platforms=["linux/amd64", "linux/s390x"])
    error = place.failure(image(platforms=["linux/s390x"], dockerfile=["RUN true"]))
    assert "exec format error" in error
    assert "install QEMU" in error
    assert place.local() == {}


def foreign(program: bytes) -> bytes:
    """The same, said to be for a machine that this is not."""
    return program[:18] + b"\xff\xff" + program[20:]


# ------------------------------------------------------------------ refusals, named


@pytest.mark.parametrize("order", [{"compression": "zstd"}, {"kind": "artifact"}], ids=["zstd", "artifact"])
def test_what_the_engine_cannot_hold(place: Place, order: Json) -> None:
    place.cloud.publish("quay.io", "team/odd", "1", **order)
    error = place.failure(image(source="quay.io/team/odd:1"))
    assert "The engine cannot hold this kind of image" in error
    assert DIRECT in error
    assert (place.images(), place.local()) == ([], {})


def test_a_private_source_needs_no_login(place: Place) -> None:
    place.publish("acme/private", host=HUB, private=True)
    wanted = image(source="acme/private:1")
    assert "Give credentials for docker.io" in place.failure(wanted)
    place.copied(wanted, logins={"docker.io": ["hubuser", "hubtoken"]})
    assert not (place.cloud.directory / "docker-config").exists()


def test_what_docker_hub_limits(place: Place) -> None:
    place.publish("library/bb", host=HUB)
    refused = {"errors": [{"code": "TOOMANYREQUESTS", "message": "You have reached your pull rate limit."}]}
    place.cloud.inject(
        {"host": HUB, "method": "GET", "path": "/manifests/", "status": 429, "times": -1, "body": refused}
    )
    (result,) = place.copy(image(source="bb:1"))
    assert result["action"] == "defer"
    assert "Log in to the registry if that raises its limit" in result["reason"]
    assert (place.images(), place.local()) == ([], {})


def test_credentials_of_the_destination_that_are_wrong(place: Place) -> None:
    place.publish()
    secret = "a-wrong-password-of-ours"
    done = place.run(place.order(image(), logins={place.host: ["AWS", secret]}))
    assert "Check the name, the credentials" in json.loads(done.stdout)[0]["error"]["msg"]
    assert secret not in done.stdout + done.stderr
    assert (place.images(), place.local()) == ([], {})


def test_a_registry_in_trouble_for_a_moment(place: Place) -> None:
    place.publish()
    place.cloud.inject({"host": place.host, "method": "PUT", "path": "/manifests/stevedore", "status": 503})
    place.copied(image())
    assert place.images() == [["1"]]


# ------------------------------------------------------------------ no engine


def test_no_socket(place: Place) -> None:
    place.publish()
    error = place.failure(image(), docker_host=NOWHERE)
    assert error.startswith(f"Docker Engine cannot be reached at {NOWHERE}: there is no such socket")
    assert DIRECT in error


def test_nobody_at_the_address(place: Place) -> None:
    place.publish()
    assert "nobody listens there" in place.failure(image(), docker_host="tcp://127.0.0.1:1")


def test_no_permission_for_the_socket(place: Place) -> None:
    place.publish()
    socket = place.cloud.directory / "docker.sock"
    mode = socket.stat().st_mode
    socket.chmod(0)
    # Another user may not be able to read this checkout. Root without its powers over files can.
    powerless = ("setpriv", "--bounding-set=-dac_override,-dac_read_search", "--")
    error = place.failure(image(), prefix=powerless)
    socket.chmod(mode)
    assert "the user root may not use it" in error
    assert "group docker" in error


def test_no_docker_package(place: Place, tmp_path: Path) -> None:
    place.publish()
    (tmp_path / "docker.py").write_text("raise ImportError('not installed')")
    support = [tmp_path, REPOSITORY / "tests" / "support", REPOSITORY / "tests" / "loopback"]
    error = place.failure(image(), environment={"PYTHONPATH": ":".join(map(str, support))})
    assert f"The Python package docker is not installed for {sys.executable}" in error
    assert DIRECT in error


@pytest.fixture
def small_engine(place: Place) -> Iterator[str]:
    """The address of a Docker Engine with little room on its disk."""
    home = place.cloud.directory / "small"
    home.mkdir()
    script = f"""
        mount -t tmpfs -o size=24m tmpfs {home}
        exec dockerd --data-root {home}/data --exec-root {home}/exec --pidfile {home}/pid --host unix://{home}/socket \\
            --config-file {place.cloud.directory}/daemon.json --bridge=none --iptables=false --ip6tables=false \\
            >{home}/log 2>&1
    """
    with ThreadPoolExecutor() as pool:
        running = pool.submit(place.cloud.run, ["sh", "-ec", script])
        address = f"unix://{home}/socket"
        until(lambda: running.done() or place.cloud.docker("--host", address, "version").returncode == 0)
        assert not running.done(), running.result().stderr
        yield address
        place.cloud.run(["sh", "-c", f"kill $(cat {home}/pid)"])
        running.result()
        place.cloud.run(["umount", str(home)])
        home.rmdir()


def test_no_space(place: Place, small_engine: str) -> None:
    place.publish("team/huge", layer_size=30_000_000)
    for number in range(4):
        place.cloud.publish("quay.io", f"team/part-{number}", "1", layer_size=6_000_000)
    error = place.failure(image(source="quay.io/team/huge:1"), docker_host=small_engine)
    assert "no space left on device" in error
    assert "docker system prune" in error
    assert DIRECT in error
    assert place.images() == []
    # Together they do not fit: what is done with is removed for the next one.
    parts = [image(f"team/app:{number}", f"quay.io/team/part-{number}:1") for number in range(4)]
    place.copied(*parts, docker_host=small_engine, parallel=1)
    assert place.images() == [[str(number)] for number in range(4)]
