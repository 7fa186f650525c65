"""Every kind of image arrives as the very bytes that it is, wherever it comes from and wherever it goes."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from docker_registry import DockerRegistry
from mirror_engine import PROGRAM, Engine, order, program_environment, wish
from mirror_scene import AMD, ARM, EcrScene, RegistryScene, Scene, Target, by_tag, noise
from mirror_server import Fault, Login, Proxy, Sparse
from registry import OCI_CONFIG, OCI_INDEX, OCI_LAYER, OCI_MANIFEST, Ecr, Json, descriptor, encoded, sha256

from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.model import RECIPE, SOURCE_DIGEST
from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.result import Report
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.credentials import Credentials
from loopback.client import Cloud

Kind = Callable[[Scene, str], None]
FOREIGN = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
MEMORY_KB = 150_000


def of_layers(*layers: tuple[bytes, str], docker: bool = False, **more: Any) -> Kind:
    """One image whose layers have these media types."""

    def build(scene: Scene, name: str) -> None:
        repository = scene.name(name)
        config = encoded({"architecture": "amd64", "os": "linux", "of": repository})
        for content in (config, *(content for content, _kind in layers)):
            scene.source.blob(repository, content)
        parts = [descriptor(content, kind) for content, kind in layers]
        raw = scene.source.manifest_of(config, parts, repository, "1", docker=docker, **more)
        scene.read[name, "1"] = raw

    return build


def with_foreign_layer(scene: Scene, name: str) -> None:
    repository = scene.name(name)
    config = encoded({"architecture": "amd64", "os": "windows", "of": repository})
    for content in (config, b"own"):
        scene.source.blob(repository, content)
    foreign = {**descriptor(b"elsewhere", FOREIGN), "urls": ["https://licensed.example/layer"]}
    layers = [foreign, descriptor(b"own", "application/vnd.docker.image.rootfs.diff.tar.gzip")]
    scene.read[name, "1"] = scene.source.manifest_of(config, layers, repository, "1", docker=True)


def formatted_oddly(scene: Scene, name: str) -> None:
    """Bytes that no other program would write for the same."""
    repository = scene.name(name)
    config = b' {"os":"linux", "architecture" : "amd64"}\n'
    scene.source.blob(repository, config)
    scene.source.blob(repository, b"odd")
    document = {
        "layers": [{**descriptor(b"odd", OCI_LAYER), "annotations": {"\u00fc": "\u2028"}}],
        "config": descriptor(config, OCI_CONFIG),
        "unknown": [1.50, None, {"a": []}],
        "mediaType": OCI_MANIFEST,
        "schemaVersion": 2,
    }
    raw = b"\n" + json.dumps(document, indent=3, ensure_ascii=False).encode() + b"  \n"
    scene.source.put(repository, "1", raw, OCI_MANIFEST)
    scene.read[name, "1"] = raw


def without_media_type(scene: Scene, name: str) -> None:
    """As the first version of the OCI's specification had it: only the header says what it is."""
    raw = json.loads(scene.image(name, "1"))
    del raw["mediaType"]
    scene.read[name, "1"] = encoded(raw)
    scene.source.put(scene.name(name), "1", encoded(raw), OCI_MANIFEST)


def nested_indexes(scene: Scene, name: str) -> None:
    inner = scene.index(name, "inner", b"shared")
    listed = [descriptor(inner, OCI_INDEX)]
    raw = encoded({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": listed})
    scene.source.put(scene.name(name), "1", raw, OCI_INDEX)
    scene.read[name, "1"] = raw


KINDS: dict[str, Kind] = {
    "OCI": lambda scene, name: _ignore(scene.image(name, "1")),
    "Docker": lambda scene, name: _ignore(scene.image(name, "1", docker=True)),
    "OCI index": lambda scene, name: _ignore(scene.index(name, "1", noise(name))),
    "Docker list": lambda scene, name: _ignore(scene.index(name, "1", noise(name), docker=True)),
    "index in an index": nested_indexes,
    "zstd": of_layers((b"\x28\xb5\x2f\xfd", "application/vnd.oci.image.layer.v1.tar+zstd")),
    "plain tar": of_layers((bytes(10240), "application/vnd.oci.image.layer.v1.tar")),
    "empty layers": of_layers((b"", OCI_LAYER), (b"x", OCI_LAYER), (b"", OCI_LAYER)),
    "no layers": of_layers(),
    "thirty layers": of_layers(*((b"layer %d" % number, OCI_LAYER) for number in range(30))),
    "foreign layer": with_foreign_layer,
    "artifact": of_layers((b"{}", "text/spdx+json"), artifactType="application/vnd.example.sbom"),
    "formatted oddly": formatted_oddly,
    "without a media type": without_media_type,
}


def _ignore(_raw: bytes) -> None:
    """For lambdas that are called for what they do."""


def build_all(scene: Scene) -> None:
    for number, build in enumerate(KINDS.values()):
        build(scene, f"kind{number}")


def assert_outside_agrees(scene: Scene, host: str, authorization: tuple[str, str] | None = None) -> None:
    """What skopeo reads is what the source has, byte for byte."""
    creds = ["--creds", ":".join(authorization)] if authorization else ["--no-creds"]
    for (name, tag), raw in scene.read.items():
        image = f"docker://{host}/{scene.name(name)}:{tag}"
        done = subprocess.run(
            ["skopeo", "inspect", "--raw", "--tls-verify=false", *creds, image], capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout == raw


def test_all_kinds_arrive_in_a_registry(scene: RegistryScene, target_registry: DockerRegistry) -> None:
    build_all(scene)
    report = scene.run()
    assert not report.failure
    scene.assert_mirrored()
    for (name, tag), raw in scene.read.items():
        assert by_tag(report)[f"{name}:{tag}"].digest == sha256(raw)
    assert {entry.action for entry in scene.run().images} == {"up_to_date"}
    assert_outside_agrees(scene, target_registry.host)


def test_all_kinds_arrive_in_ecr(ecr_scene: EcrScene) -> None:
    build_all(ecr_scene)
    report = ecr_scene.run()
    assert not report.failure
    ecr_scene.assert_mirrored()
    ecr_scene.cloud.forget_calls()
    again = ecr_scene.run()
    assert {entry.action for entry in again.images} == {"up_to_date"}
    assert not [call for call in ecr_scene.cloud.calls() if call["method"] in ("PUT", "PATCH")]
    password = ecr_scene.more_secrets[1]
    assert_outside_agrees(ecr_scene, ecr_scene.host, ("AWS", password))


@pytest.mark.parametrize("mounts", ["ENABLED", "DISABLED"])
def test_how_ecr_is_spoken_to(ecr_scene: EcrScene, mounts: str) -> None:
    """As facts of ECR want it: no PATCH ever, a mount only where there is such a thing, tags asked for in batches."""
    scene = ecr_scene
    base = noise(scene.prefix)
    for name in ("one", "two", "three"):
        for tag in range(4):
            scene.image(name, str(tag), base, f"{name} {tag}".encode())
    scene.ecr.put_account_setting(name="BLOB_MOUNTING", value=mounts)
    scene.cloud.forget_calls()
    report = scene.run()
    assert not report.failure
    calls = scene.cloud.calls()
    assert not [call for call in calls if call["method"] == "PATCH"]
    mounted = [call["status"] for call in calls if "mount=" in call["query"]]
    assert set(mounted) == ({201} if mounts == "ENABLED" else set())
    large = [call for call in calls if call["method"] == "PUT" and call["received"] >= len(base)]
    assert len(large) == (1 if mounts == "ENABLED" else 3)
    assert not [call for call in calls if call["status"] >= 500 or call["status"] == -1]
    scene.assert_mirrored()
    scene.cloud.forget_calls()
    scene.run()
    operations = scene.cloud.operations()
    assert operations.count("BatchGetImage") == 3
    assert not [call for call in scene.cloud.calls() if call["path"].startswith("/v2/")]


def referrer(scene: Scene, name: str, subject: bytes, content: bytes, **more: Any) -> bytes:
    return scene.source.image(
        scene.name(name),
        None,
        content,
        subject=descriptor(subject, json.loads(subject)["mediaType"]),
        artifactType="application/vnd.example.signature",
        **more,
    )


def signed(scene: Scene) -> tuple[bytes, list[bytes]]:
    """An index with OCI referrers of it, of one of its images and of one of the referrers, and with cosign's tags."""
    top = scene.index("app", "1", noise(scene.prefix, 2_000))
    child = scene.source.raw(scene.name("app"), json.loads(top)["manifests"][0]["digest"])
    first = referrer(scene, "app", top, b"about the index")
    listed = [
        first,
        referrer(scene, "app", child, b"about an image"),
        referrer(scene, "app", first, b"about the first"),
    ]
    for raw in (top, child):
        fallback = sha256(raw).replace(":", "-")
        for kind in ("sig", "att", "sbom"):
            scene.image("app", f"{fallback}.{kind}", f"{kind} of {fallback}".encode())
    # The registry has no list of referrers: the tags that stand in for it are made by those who push.
    for subject, about in ((top, [first]), (child, [listed[1]]), (first, [listed[2]])):
        entries = [
            {**descriptor(raw, OCI_MANIFEST), "artifactType": "application/vnd.example.signature"} for raw in about
        ]
        raw = encoded({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries})
        scene.source.put(scene.name("app"), sha256(subject).replace(":", "-"), raw, OCI_INDEX)
    return top, listed


def test_what_refers_to_an_image_goes_with_it_into_ecr(ecr_scene: EcrScene) -> None:
    scene = ecr_scene
    _top, listed = signed(scene)
    report = scene.run([scene.wish("app", ["1"], referrers=True)])
    assert not report.failure
    assert scene.tags().keys() == scene.read.keys()
    scene.assert_mirrored()
    for raw in listed:
        scene.target.assert_complete(scene.name("app"), sha256(raw))
        subject = json.loads(raw)["subject"]["digest"]
        found = scene.target.call("GET", f"/v2/{scene.name('app')}/referrers/{subject}").json["manifests"]
        assert [entry["digest"] for entry in found] == [sha256(raw)]
    again = scene.run([scene.wish("app", ["1"], referrers=True)])
    assert {entry.action for entry in again.images} == {"up_to_date"}
    assert len(again.images) == 1 + 6 + 3


def test_what_refers_to_an_image_goes_with_it_into_a_registry(scene: RegistryScene) -> None:
    top, listed = signed(scene)
    report = scene.run([scene.wish("app", ["1"], referrers=True)])
    assert not report.failure
    found = scene.tags()
    for name, tag in scene.read:
        assert found[name, tag] == scene.read[name, tag]
    fallback = json.loads(found["app", sha256(top).replace(":", "-")])
    assert [entry["digest"] for entry in fallback["manifests"]] == [sha256(listed[0])]
    for raw in listed:
        scene.target.assert_complete(scene.name("app"), sha256(raw))


def test_a_thousand_tags_by_pages(scene: RegistryScene) -> None:
    """All pages are read once, and of the tags only those that are wished for are looked at."""
    raw = scene.image("app", "v0", b"small")
    repository = scene.name("app")
    with ThreadPoolExecutor(4) as pool:
        tags = [f"v{number}" for number in range(1, 1_050)]
        list(pool.map(lambda tag: scene.source.put(repository, tag, raw, OCI_MANIFEST), tags))
    scene.inward.page = 100
    wishes = [scene.wish("app", select={"globs": ["v??", "v10??"], "exclude": {"globs": ["v1?"]}})]
    report = scene.run(wishes)
    assert not report.failure
    wanted = {f"v{number}" for number in (*range(20, 100), *range(1_000, 1_050))}
    assert {entry.tag for entry in report.images} == wanted
    pages = [one for one in scene.inward.asked("GET", "/tags/list") if one.status == 200]
    assert len(pages) == 11
    assert set(scene.target.all_tags(repository)) == wanted
    scene.target.everything([repository])
    scene.clear_faults()
    again = scene.run(wishes)
    assert {entry.action for entry in again.images} == {"up_to_date"}
    asked = scene.inward.asked()
    heads = {one.path.rpartition("/")[2] for one in asked if one.method == "HEAD"}
    assert heads == wanted
    assert not [one for one in asked if one.method == "GET" and "/manifests/" in one.path]
    assert not scene.outward.asked("PUT")


def test_a_choice_of_platforms_is_recognised_the_next_time(ecr_scene: EcrScene) -> None:
    scene = ecr_scene
    top = scene.index("app", "1", noise(scene.prefix, 2_000))
    wishes = [scene.wish("app", ["1"], platforms=[ARM])]
    assert by_tag(scene.run(wishes))["app:1"].action == "copy"
    made = json.loads(scene.tags()["app", "1"])
    assert made["annotations"][SOURCE_DIGEST] == sha256(top)
    assert made["annotations"][RECIPE] == f"platforms={ARM}"
    assert by_tag(scene.run(wishes))["app:1"].action == "up_to_date"
    assert by_tag(scene.run([scene.wish("app", ["1"], platforms=[AMD])]))["app:1"].action == "copy"
    assert by_tag(scene.run())["app:1"].action == "copy"
    scene.assert_mirrored()


def amounts(report: Report) -> tuple[int, int]:
    """Of images that are copied at once, which moves what they share, and which has it mounted, is not known before."""
    of = report.totals()["bytes"]
    return of["reused"], of["moved"] + of["mounted"]


@pytest.mark.parametrize("mounts", ["ENABLED", "DISABLED"])
def test_check_mode_writes_nothing_and_says_what_would_move(ecr_scene: EcrScene, mounts: str) -> None:
    scene = ecr_scene
    scene.ecr.put_account_setting(name="BLOB_MOUNTING", value=mounts)
    scene.image("app", "0", noise(f"{scene.prefix} base"))
    scene.run()
    scene.journal.unlink()
    scene.corpus()
    scene.cloud.forget_calls()
    planned = scene.run(check_mode=True)
    written = [call for call in scene.cloud.calls() if call["method"] in ("PUT", "PATCH", "POST") and call["op"] == ""]
    assert not written
    assert not {"CreateRepository", "PutImage", "InitiateLayerUpload"} & set(scene.cloud.operations())
    assert not scene.journal.exists()
    assert scene.tags().keys() == {("app", "0")}
    copied = scene.run()
    assert amounts(planned) == amounts(copied)
    assert planned.repositories_created == copied.repositories_created == [scene.name("web")]
    assert [(one.destination, one.action, one.digest) for one in planned.images] == [
        (one.destination, one.action, one.digest) for one in copied.images
    ]
    scene.assert_mirrored()


# ------------------------------------------------------------------ where it comes from


@pytest.mark.parametrize("tokens", [True, False])
def test_no_credential_follows_a_redirect(
    source_registry: DockerRegistry, scene: RegistryScene, stack: ExitStack, tokens: bool
) -> None:
    elsewhere = stack.enter_context(Proxy(source_registry.host))
    login = Login(tokens=tokens)
    scene.inward = stack.enter_context(Proxy(source_registry.host, login))
    scene.inward.redirect_blobs = elsewhere.url
    scene.engine.logins = {**scene.engine.logins, scene.inward.host: scene.login_of(login)}
    scene.corpus()
    assert not scene.run().failure
    seen = elsewhere.asked("GET", "/blobs/")
    assert len(seen) >= 8
    for one in seen:
        assert not {"authorization", "cookie", "proxy-authorization"} & one.headers.keys()
        assert not [secret for secret in login.secrets if secret in json.dumps([one.path, dict(one.headers)])]
    scene.assert_mirrored()
    # Nor does the signature get into what is told when that fails.
    scene.image("app", "3", b"refused elsewhere")
    elsewhere.faults.append(Fault("GET", times=-1, status=403, body=scene.inward.signature.encode()))
    report = scene.run()
    assert re.search(
        rf"{elsewhere.host}, where {scene.inward.host} redirects to, does not allow it \(403\)", report.failure
    )
    scene.assert_sound()


@pytest.mark.parametrize("host", ["registry-1.docker.io", "quay.io", "ghcr.io", "registry.k8s.io", "public.ecr.aws"])
def test_from_each_upstream_with_its_quirks(cloud: Cloud, tmp_path: Path, host: str) -> None:
    """Tokens, redirects of blobs and of manifests to another host that refuses credentials, lists by pages."""
    made = {
        tag: cloud.publish(host, "team/app", tag, platforms=[AMD, ARM], attestations=True, empty_layers=1)["digest"]
        for tag in ("1", "2")
    }
    odd = cloud.publish(host, "team/odd", "1", compression="zstd", foreign_layers=1)["digest"]
    origin = cloud.upstreams[host].removeprefix("http://")
    ecr = cloud.client("ecr", attempts=4)
    wishes = [
        wish(f"{origin}/team/app", "copy/app", select={"globs": ["*"]}, referrers=True),
        wish(f"{origin}/team/odd", "copy/odd", ["1"]),
    ]
    report = Engine().into_ecr(ecr, wishes, create_repositories=True)
    assert not report.failure
    looking = Ecr(cloud)
    target = Target(looking.origin, looking.authorization)
    found = target.everything(["copy/app", "copy/odd"])
    assert {name: sha256(raw) for name, raw in found.items()} == {
        ("copy/app", "1"): made["1"],
        ("copy/app", "2"): made["2"],
        ("copy/odd", "1"): odd,
    }


def test_from_ecr_to_a_registry_its_manifests_are_not_converted(
    ecr_scene: EcrScene, target_registry: DockerRegistry
) -> None:
    """And its redirects to another store, which takes no second credential, are followed without one."""
    ecr_scene.corpus()
    assert not ecr_scene.run().failure
    password = ecr_scene.more_secrets[1]
    engine = Engine(logins={ecr_scene.host: lambda: Credentials("AWS", password)})
    repositories = [ecr_scene.name(name) for name in ("app", "web")]
    wishes = [wish(f"{ecr_scene.host}/{name}", f"back/{name}", ["1", "2"]) for name in repositories]
    assert not engine.into_registry(target_registry.host, wishes).failure
    found = Target(target_registry.url).everything([f"back/{name}" for name in repositories])
    assert sorted(found.values()) == sorted(ecr_scene.read.values())


# ------------------------------------------------------------------ how large it is

# Of so many zeros: the digests were made once, since to make them takes as long as to copy them.
GIGABYTES = {
    2 << 30: "sha256:a7c744c13cc101ed66c29f672f92455547889cc586ce6d44fe76ae824958ea51",
    1 << 30: "sha256:49bc20df15e412a64472421e13fe86ff1c5165e18b2afccf160d4dc19fe68a14",
}


@pytest.fixture
def sparse() -> Iterator[tuple[Sparse, Sparse]]:
    with Sparse() as source, Sparse() as target:
        yield source, target


def test_three_gigabytes_in_little_memory(sparse: tuple[Sparse, Sparse]) -> None:
    source, target = sparse
    config = encoded({"architecture": "amd64", "os": "linux"})
    source.blobs[sha256(config)] = config
    source.zeros = {digest: size for size, digest in GIGABYTES.items()}
    layers = [{"mediaType": OCI_LAYER, "digest": digest, "size": size} for size, digest in GIGABYTES.items()]
    parts = {"config": descriptor(config, OCI_CONFIG), "layers": layers}
    raw = encoded({"schemaVersion": 2, "mediaType": OCI_MANIFEST, **parts})
    source.manifests = {"1": (OCI_MANIFEST, raw), sha256(raw): (OCI_MANIFEST, raw)}
    given = order([{"source": f"{source.host}/large", "repository": "large", "tags": ["1"]}], registry=target.host)
    done = subprocess.run(
        PROGRAM, env=program_environment(), input=given, capture_output=True, text=True, timeout=180, check=False
    )
    assert done.returncode == 0, done.stderr
    result: Json = json.loads(done.stdout)
    assert not result["failure"]
    assert target.manifests["1"] == (OCI_MANIFEST, raw)
    assert target.zeros.items() >= source.zeros.items()
    assert target.blobs[sha256(config)] == config
    assert result["totals"]["bytes"]["moved"] == 3 * (1 << 30) + len(config)
    assert result["peak_kb"] < MEMORY_KB
