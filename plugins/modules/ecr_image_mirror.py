#!/usr/bin/python
# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: ecr_image_mirror
version_added: 0.1.0
short_description: Copy container images of any registry to Amazon ECR, and keep the copies up to date
description:
  - Copies any number of images to the Amazon ECR registry of one account and region, from Docker Hub, from any other
    registry, or from Amazon ECR in another account or region.
  - Asks both sides first what they have, and copies what differs. An image that has not changed costs one request to
    its source, which no registry counts as a pull, and a hundredth of a request to Amazon ECR.
  - With O(transport=direct), layers are streamed from registry to registry and stored nowhere in between. Each is
    transferred once in a run, however many images share it. The copies have the very bytes and the digest of their
    sources. With O(transport=docker), a Docker Engine pulls and pushes the images.
  - One task handles all images, several at a time. One that fails does not stop the others. The task fails at its end,
    and says which ones failed and why.
  - A tag in Amazon ECR is written when everything that it stands for is there. Nothing is ever deleted, see
    M(stevedore.ecr.ecr_image_prune) for that.
  - All options are checked before anybody is asked anything, and all mistakes are reported together.
author:
  - Contributors to the stevedore.ecr project (!UNKNOWN)
options:
  images:
    description:
      - The images to copy.
      - Either this or O(source) is required.
      - Images that are wished for twice in the same way are copied once. Images that would get the same tag in
        different ways are refused.
    type: list
    elements: dict
    suboptions:
      source:
        description:
          - Required. An image or a repository, for example V(nginx:1.29), V(quay.io/prometheus/prometheus) or
            V(ghcr.io/org/app@sha256:...).
          - Where it has no tag and no digest, one of O(images[].tag), O(images[].tags), O(images[].select) and
            O(images[].digest) is required.
        type: str
      repository:
        description:
          - The name of the repository in Amazon ECR, after O(namespace) if there is one.
          - By default the path of the source without its registry. V(nginx), V(docker.io/library/nginx) and
            V(quay.io/team/app) become V(nginx), V(nginx) and V(team/app).
        type: str
      tag:
        description:
          - One tag to copy. Where O(images[].source) has a tag or a digest, what to call it in Amazon ECR.
          - A text. Put numbers in quotes.
        type: raw
      tags:
        description:
          - Tags to copy, exactly these. Tags are never listed for this.
          - An entry is a tag, or a dictionary with C(from), the tag in the source, and C(to), what to call it in Amazon
            ECR. The whole list may be a dictionary of the one to the other.
        type: raw
      select:
        description:
          - Which of all tags to copy. They keep their names.
          - A tag is taken if it matches any of O(images[].select.globs), O(images[].select.regex) and
            O(images[].select.semver), and nothing of O(images[].select.exclude). Without the three, every tag matches.
        type: dict
        suboptions:
          globs:
            description:
              - Patterns in which V(*) stands for any characters, V(?) for one, and V({a,b}) for one of these.
            type: list
            elements: str
          regex:
            description:
              - Regular expressions that the whole tag has to match.
            type: list
            elements: str
          semver:
            description:
              - A range of versions, for example V(>=1.27), V(^1.27), V(~1.27.3) or V(1.x || >=2.5 <3).
            type: str
          prereleases:
            description:
              - Whether O(images[].select.semver) takes prereleases too. Variants such as V(1.27.3-alpine) are
                prereleases to SemVer.
            type: bool
          exclude:
            description:
              - What not to take, whatever else matches it.
            type: dict
            suboptions:
              globs:
                description: See O(images[].select.globs).
                type: list
                elements: str
              regex:
                description: See O(images[].select.regex).
                type: list
                elements: str
              semver:
                description: See O(images[].select.semver). Here prereleases and variants are in the range like all
                  others.
                type: str
          newest:
            description:
              - Only so many of the tags that are left, the highest ones in the order of O(images[].select.sort).
                Registries do not say when a tag was pushed.
            type: int
          sort:
            description:
              - The order of tags, V(semver) or V(natural), which compares numbers in tags as numbers.
              - By default V(semver) if all tags that are left are versions, else V(natural).
            type: str
          part:
            description:
              - With C(index) and C(of), only the tags that fall to one part of several, by the hash of their names,
                after everything else. So several runs can share a repository, whatever tags it will have.
            type: dict
          digest_tags:
            description:
              - Whether to look at tags that are named after a digest too, in which signatures are kept. See
                O(images[].referrers) for copying these.
            type: bool
      digest:
        description:
          - The digest of the image to copy. With O(images[].tag), the copy gets this tag.
        type: str
      platforms:
        description: See O(platforms).
        type: list
        elements: str
      transport:
        description: See O(transport).
        type: str
        choices: [docker, direct]
      on_moved_tag:
        description: See O(on_moved_tag).
        type: str
        choices: [fail, skip, new_tag]
      referrers:
        description: See O(referrers).
        type: bool
      dockerfile:
        description: See O(dockerfile).
        type: list
        elements: str
      require_match:
        description: See O(require_match).
        type: bool
  source:
    description:
      - A single image, as in O(images[].source).
    type: str
  repository:
    description:
      - For O(source), as in O(images[].repository).
    type: str
  tag:
    description:
      - For O(source), as in O(images[].tag).
    type: raw
  platform:
    description:
      - For O(source), the one platform to copy, for example V(linux/arm64).
    type: str
  namespace:
    description:
      - What the names of all repositories begin with, before a slash.
    type: str
  platforms:
    description:
      - The platforms of multi-arch images to copy, for example V(linux/amd64) and V(linux/arm64/v8), or V(all), which
        is the default.
      - With O(transport=direct) the copy of a choice is a valid index of these platforms. Its digest is not that of the
        source, so an annotation of the index says which source it was made of, and the next run sees that it is up to
        date. A signature of the whole image does not fit it.
      - With O(transport=docker) and V(all), the engine takes its own platform.
      - An image that is for one platform only has to be for one of these.
    type: list
    elements: str
  transport:
    description:
      - How images are brought over.
      - O(dockerfile) with lines that only change configuration goes by V(direct), unless O(images[].transport) says
        V(docker).
    type: str
    choices:
      docker: >-
        A Docker Engine pulls and pushes them, with the Python package C(docker). Layers are compressed again, so that
        digests are other ones than in the source.
      direct: Registry to registry, without an engine. Digests stay the same.
    default: docker
  on_moved_tag:
    description:
      - What to do where a tag in Amazon ECR cannot be changed, because it is immutable, and its source is another image
        by now.
      - V(fail) fails for this image, V(skip) leaves it alone, and V(new_tag) copies it to a new tag, which is the old
        one with a dash and the first 12 digits of the digest of the source.
    type: str
    choices: [fail, skip, new_tag]
    default: fail
  referrers:
    description:
      - Whether to copy what refers to the images too, such as signatures, SBOMs and attestations, by the list of
        referrers of the source and by cosign's tags.
    type: bool
    default: false
  dockerfile:
    description:
      - Lines of a Dockerfile to add to each image, without C(FROM).
      - Lines that only change configuration, such as C(ENV), C(LABEL), C(USER), C(WORKDIR) and C(CMD), need no engine
        and are applied for all platforms, unless O(images[].transport=docker). Others, such as C(RUN) and C(COPY), are
        built by a Docker Engine, which gets the logins for the registries that C(COPY --from) names, and no others.
      - The copy is made again when the source or the lines have changed.
    type: list
    elements: str
  require_match:
    description:
      - Whether it is a failure if O(images[].select) finds no tag. Otherwise it is a warning.
    type: bool
    default: false
  registries:
    description:
      - How to speak to the registries that images come from, where it differs from what is usual.
      - Registries that are not in this list, or have no login here, are logged in to as Docker does on this host, by
        its configuration and credential helpers, or not at all. Those of Amazon ECR are logged in to with the AWS
        credentials of this task, whatever their account and region.
    type: list
    elements: dict
    default: []
    suboptions:
      host:
        description:
          - The host of the registry as in references, with its port if it has one, for example V(docker.io).
        type: str
        required: true
      username:
        description:
          - With O(registries[].password), the login.
        type: str
      password:
        description:
          - The password, or the access token that stands for it.
        type: str
      token:
        description:
          - In place of a login, a token for the registry that is sent to it as it is. Access tokens of Docker Hub,
            GitHub and GitLab are no such tokens, but passwords.
        type: str
      endpoint:
        description:
          - Another address to reach the registry at, for example V(https://mirror.example:5000).
        type: str
      ca:
        description:
          - A file with the certificates of the authorities to trust for this registry, in PEM form.
        type: path
      insecure:
        description:
          - Whether to speak plain HTTP to it.
        type: bool
        default: false
      aws_login:
        description:
          - Whether to log in with AWS credentials.
          - By default so for private registries of Amazon ECR, and not for V(public.ecr.aws), which serves everybody,
            but allows more pulls to those who log in.
        type: bool
      region:
        description:
          - The region in which to ask for a login. By default that in the name of the host, or of this task.
        type: str
      role_arn:
        description:
          - A role to assume for logging in, for registries of other accounts that do not let this one in by themselves.
        type: str
  create_repositories:
    description:
      - Whether to create repositories that do not exist. If not, images for them fail.
    type: bool
    default: true
  missing_repositories:
    description:
      - What becomes of images for repositories that do not exist, if they are not to be created.
    type: str
    choices:
      fail: These images fail.
      skip: They are left out, and the result says so.
    default: fail
  repository_defaults:
    description:
      - What repositories are like that are created. Repositories that exist stay as they are.
      - Repository creation templates are for repositories that Amazon ECR creates by itself, and play no part in it.
    type: dict
    suboptions:
      scan_on_push:
        description:
          - Whether images are scanned when they are pushed. The scanning configuration of the registry has the last
            word.
        type: bool
        default: false
      image_tag_mutability:
        description:
          - Whether a tag can be moved to another image. By default V(MUTABLE).
        type: str
        choices:
          MUTABLE: All tags can be moved.
          IMMUTABLE: No tag can be moved. See O(on_moved_tag) for what to do then.
          MUTABLE_WITH_EXCLUSION: All but those of O(repository_defaults.image_tag_mutability_exclusion_filters) can.
          IMMUTABLE_WITH_EXCLUSION: Only those of O(repository_defaults.image_tag_mutability_exclusion_filters) can.
      image_tag_mutability_exclusion_filters:
        description:
          - Up to five tags, in which V(*) stands for any characters.
        type: list
        elements: str
      encryption_type:
        description:
          - How the repository is encrypted, by default V(AES256). It cannot be changed afterwards.
          - Amazon ECR shares layers only between repositories that are encrypted in the same way.
        type: str
        choices:
          AES256: With keys that Amazon S3 manages.
          KMS: With a key of AWS KMS.
          KMS_DSSE: Twice with a key of AWS KMS, in AWS GovCloud (US) only.
      kms_key_arn:
        description:
          - The whole ARN of the key, in the region of the registry. Without it, the key of AWS for Amazon ECR is used.
        type: str
      lifecycle_rules:
        description:
          - The rules of the lifecycle policy, in the form of O(stevedore.ecr.ecr_lifecycle#module:rules).
        type: list
        elements: dict
      resource_tags:
        description:
          - Tags of the repository, at most 50.
        type: dict
  parallel:
    description:
      - How many images, and how many layers, are copied at the same time.
    type: int
    default: 8
  put_image_rate:
    description:
      - How many manifests a second Amazon ECR gets, at most. Its quota is 10 of a whole account and region by default.
        Runs that go on at the same time have to share it.
    type: float
    default: 8.0
  rate_limit_reserve:
    description:
      - How many pulls of each source that counts them, such as Docker Hub, are left to others.
      - Before the first pull, the pulls that are needed are compared with those that are left. What fits is copied, the
        smallest images first. The others are deferred, which is a warning and no failure, and RV(images[].action) says
        so. With O(transport=docker), images are deferred too for which Docker Hub tells the engine that its pull rate
        limit is reached.
    type: int
    default: 0
  timeout:
    description:
      - For how many seconds a request to a registry is repeated that is told to come back later.
    type: int
    default: 120
  keep_going:
    description:
      - Whether to go on with the other images where one fails. If not, images that are not begun by then are skipped.
    type: bool
    default: true
  docker_host:
    description:
      - Where the Docker Engine listens, for example V(unix:///var/run/docker.sock). By default as E(DOCKER_HOST) says.
    type: str
  keep_local:
    description:
      - Whether images stay in the Docker Engine that were not there before.
    type: bool
    default: false
  journal:
    description:
      - A file to which a line of JSON is added for each image as it is done, in the form of RV(images). Not in check
        mode.
    type: path
attributes:
  check_mode:
    support: full
    details:
      - It says exactly what would be copied, and how many bytes would be moved. Where the source counts pulls, the
        bytes are not looked into, because that would cost pulls.
  diff_mode:
    support: full
    details:
      - Lists the tags and digests that change. Below them it says how many bytes that takes and how many are there
        already, where that is known, and which images would fail, be refused or have to wait, and why.
  idempotent:
    support: full
notes:
  - Needs the permissions C(ecr:GetAuthorizationToken), on all resources, and on the repositories that images go to
    C(ecr:DescribeRepositories), C(ecr:BatchGetImage), C(ecr:BatchCheckLayerAvailability), C(ecr:InitiateLayerUpload),
    C(ecr:UploadLayerPart), C(ecr:CompleteLayerUpload) and C(ecr:PutImage).
  - As the options ask for them, also C(ecr:CreateRepository), C(ecr:TagResource) and C(ecr:PutLifecyclePolicy) for
    repositories that are created, C(ecr:BatchDeleteImage) with O(transport=docker), which pushes under a temporary tag,
    and C(sts:AssumeRole) with O(registries[].role_arn).
  - Where blob mounting is enabled in the registry, see M(stevedore.ecr.ecr_registry_settings), layers that several
    repositories share are not even uploaded twice. That needs C(ecr:GetDownloadUrlForLayer). To know whether it is,
    C(ecr:GetAccountSetting) is used. Without this permission it is tried.
  - A source in Amazon ECR needs C(ecr:GetAuthorizationToken) in its region, and C(ecr:BatchGetImage) and
    C(ecr:GetDownloadUrlForLayer) on its repositories, with O(images[].select) also C(ecr:ListImages).
  - With O(registries[].aws_login), V(public.ecr.aws) needs C(ecr-public:GetAuthorizationToken) and
    C(sts:GetServiceBearerToken).
  - An image that a lifecycle rule has archived cannot be pulled, so it is copied again.
  - To see what is in a repository, Amazon ECR is asked with C(ecr:BatchGetImage), which may count as a pull. Where
    lifecycle rules go by the last pull, exclude the role of this task, see M(stevedore.ecr.ecr_registry_settings).
  - Do not copy into repositories of a pull-through cache. Asking what is in them makes Amazon ECR import it.
  - O(registries[].endpoint), O(registries[].ca) and O(registries[].insecure) are for what this host asks. A Docker
    Engine has its own settings for these.
seealso:
  - module: stevedore.ecr.ecr_image_info
  - module: stevedore.ecr.ecr_image_prune
  - module: stevedore.ecr.mirror_report
  - module: stevedore.ecr.registry_rate_limit_info
  - plugin: stevedore.ecr.ecr_mirrored_image
    plugin_type: filter
  - plugin: stevedore.ecr.progress
    plugin_type: callback
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
  - stevedore.ecr.attributes
"""

EXAMPLES = r"""
- name: Have WordPress in the own registry, under another name
  stevedore.ecr.ecr_image_mirror:
    source: wordpress
    tag: php7.4-apache
    repository: php_wordpress
    platform: linux/amd64

- name: Mirror what the cluster needs, without a Docker Engine
  stevedore.ecr.ecr_image_mirror:
    transport: direct
    namespace: mirror
    images:
      - source: nginx:1.29
      - source: registry.k8s.io/pause
        tags: ["3.9", "3.10"]
      - source: quay.io/prometheus/prometheus
        select:
          semver: ">=3"
          newest: 3
      - source: ghcr.io/org/app
        tags:
          - from: v2.1.0
            to: stable
        platforms: [linux/amd64, linux/arm64]
    repository_defaults:
      scan_on_push: true
      image_tag_mutability: IMMUTABLE_WITH_EXCLUSION
      image_tag_mutability_exclusion_filters: [stable, latest]
      lifecycle_rules:
        - priority: 1
          tag_status: untagged
          count_type: sinceImagePushed
          count_number: 14
          action: expire

- name: See what would be copied, and how much that is
  stevedore.ecr.ecr_image_mirror:
    transport: direct
    images:
      - source: quay.io/prometheus/prometheus
        select:
          globs: ["v3.*"]
          exclude:
            globs: ["*-rc*"]
  check_mode: true
  register: plan

- name: Show it
  ansible.builtin.debug:
    msg: "{{ plan.actions }}, {{ plan.totals.bytes.moved }} bytes"

- name: Log in to Docker Hub, and leave 20 pulls to others
  stevedore.ecr.ecr_image_mirror:
    transport: direct
    images:
      - source: redis:8
      - source: hashicorp/vault:1.20
    registries:
      - host: docker.io
        username: acme
        password: "{{ lookup('amazon.aws.aws_secret', 'docker-hub') }}"
    rate_limit_reserve: 20

- name: Copy releases from the registry of another account and region, signatures included
  stevedore.ecr.ecr_image_mirror:
    transport: direct
    images:
      - source: 210987654321.dkr.ecr.us-east-1.amazonaws.com/team/app
        select:
          semver: "^2"
        referrers: true
    registries:
      - host: 210987654321.dkr.ecr.us-east-1.amazonaws.com
        role_arn: arn:aws:iam::210987654321:role/read-images

- name: Add an own certificate authority and a label to a base image
  stevedore.ecr.ecr_image_mirror:
    images:
      - source: python:3.13-slim
        repository: base/python
        dockerfile:
          - LABEL org.opencontainers.image.vendor=acme
          - RUN apt-get update && apt-get install -y ca-certificates
"""

RETURN = r"""
registry:
  description: The host of the registry that images were copied to.
  returned: when the options are valid and both sides could be asked
  type: str
  sample: 123456789012.dkr.ecr.eu-west-1.amazonaws.com
images:
  description:
    - Each tag, and what became of it, or in check mode would. In the order of O(images), and what refers to an image
      after it.
  returned: when the options are valid and both sides could be asked
  type: list
  elements: dict
  contains:
    source:
      description: What was wished for.
      returned: always
      type: str
      sample: docker.io/library/nginx:1.29
    destination:
      description: The address to pull it by.
      returned: always
      type: str
      sample: 123456789012.dkr.ecr.eu-west-1.amazonaws.com/mirror/nginx:1.29
    repository:
      description: The name of the repository in Amazon ECR.
      returned: always
      type: str
      sample: mirror/nginx
    tag:
      description: The tag in Amazon ECR. V(null) for what has only a digest, and where no tag was selected.
      returned: always
      type: str
      sample: "1.29"
    kind:
      description: V(image), or V(referrer) for what refers to one.
      returned: always
      type: str
      sample: image
    transport:
      description: How it is brought over, V(docker) or V(direct).
      returned: always
      type: str
      sample: direct
    recipe:
      description: How the copy differs from the source, or an empty text where it does not.
      returned: always
      type: str
      sample: platforms=linux/amd64,linux/arm64
    source_digest:
      description: The digest of the source. V(null) where it could not be read.
      returned: always
      type: str
      sample: sha256:4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945
    digest:
      description: The digest in Amazon ECR. V(null) where there is none, or it cannot be known before it is copied.
      returned: always
      type: str
      sample: sha256:4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945
    previous_digest:
      description: The digest that was replaced, or V(null).
      returned: always
      type: str
      sample: null
    action:
      description:
        - V(up_to_date), V(copy), V(skip), V(defer) where a rate limit has to renew first, V(refuse) where it must not
          be copied, or V(fail).
      returned: always
      type: str
      sample: copy
    changed:
      description: Whether it was copied, or in check mode would be.
      returned: always
      type: bool
      sample: true
    reason:
      description: Why, in words.
      returned: always
      type: str
      sample: not in the destination yet
    notes:
      description: What else is good to know.
      returned: always
      type: list
      elements: str
      sample: []
    bytes:
      description:
        - Bytes of layers and configurations. V(null) where nothing is copied, or it could not be known.
      returned: always
      type: dict
      contains:
        moved:
          description: Those that crossed the wire.
          returned: always
          type: int
          sample: 29800000
        reused:
          description: Those that were in the repository already.
          returned: always
          type: int
          sample: 0
        mounted:
          description: Those that Amazon ECR took from another repository.
          returned: always
          type: int
          sample: 31200000
    seconds:
      description: How long it took.
      returned: always
      type: float
      sample: 2.718
    error:
      description: Why it failed.
      returned: when this image failed or was refused
      type: dict
      contains:
        msg:
          description: What failed, what the registry or AWS said to it, and where it helps what to do.
          returned: always
          type: str
          sample: >-
            Failed to read the manifest of docker.io/library/nginx:none: docker.io does not have it (404). Check the
            name and the tag, and that these credentials may see it.
        code:
          description: The error code of the registry or of AWS, or the name of the problem where there was no answer.
          returned: always
          type: str
          sample: NotFound
totals:
  description: All of it, added up.
  returned: when the options are valid and both sides could be asked
  type: dict
  contains:
    images:
      description: How many entries RV(images) has.
      returned: always
      type: int
      sample: 61
    up_to_date:
      description: Of these, those that were up to date.
      returned: always
      type: int
      sample: 58
    copied:
      description: Those that were copied, or in check mode would be.
      returned: always
      type: int
      sample: 3
    skipped:
      description: Those that were left alone, as the options say.
      returned: always
      type: int
      sample: 0
    refused:
      description: Those that must not be copied.
      returned: always
      type: int
      sample: 0
    deferred:
      description: Those that wait for a rate limit to renew.
      returned: always
      type: int
      sample: 0
    failed:
      description: Those that failed.
      returned: always
      type: int
      sample: 0
    bytes:
      description: The sums of RV(images[].bytes).
      returned: always
      type: dict
      sample: {moved: 29800000, reused: 0, mounted: 31200000}
    seconds:
      description: How long the whole run took.
      returned: always
      type: float
      sample: 4.669
    requests:
      description:
        - How many requests were made, by registry and hosts that these redirect to, and as C(Amazon ECR API) to the API
          of AWS.
      returned: always
      type: dict
      sample: {Amazon ECR API: 4, docker.io: 65}
rate_limit:
  description: By registry, what it says about pulls. Registries that say nothing are not in it.
  returned: when the options are valid and both sides could be asked
  type: dict
  contains:
    limit:
      description: How many pulls it allows.
      returned: always
      type: int
      sample: 100
    remaining:
      description: How many are left.
      returned: always
      type: int
      sample: 76
    window:
      description: In how many seconds, or V(null) where it does not say.
      returned: always
      type: int
      sample: 21600
    used:
      description: How many this run has used.
      returned: always
      type: int
      sample: 4
  sample:
    docker.io: {limit: 100, remaining: 76, window: 21600, used: 4}
repositories_created:
  description: The names of the repositories that were created, or in check mode would be.
  returned: when the options are valid and both sides could be asked
  type: list
  elements: str
  sample: [mirror/nginx]
actions:
  description: What was done, or in check mode would be, in words.
  returned: when the options are valid and both sides could be asked
  type: list
  elements: str
  sample:
    - create the repository mirror/nginx
    - copy docker.io/library/nginx:1.29 to 123456789012.dkr.ecr.eu-west-1.amazonaws.com/mirror/nginx:1.29
progress_told:
  description:
    - Whether the callback plugin P(stevedore.ecr.progress#callback) was told of each image as soon as it was done.
  returned: when the options are valid and both sides could be asked
  type: bool
  sample: false
"""

from ansible.module_utils.basic import missing_required_lib
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.image_mirror import ImageMirror, failing_readably
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.exchange import HAS_URLLIB3

# What is in images, registries and repository_defaults is checked as a whole, by messages that name the entry.
MATCHER_ARGUMENTS = {
    "globs": {"type": "list", "elements": "str"},
    "regex": {"type": "list", "elements": "str"},
    "semver": {"type": "str"},
}

SELECT_ARGUMENTS = {
    **MATCHER_ARGUMENTS,
    "prereleases": {"type": "bool"},
    "exclude": {"type": "dict", "options": MATCHER_ARGUMENTS},
    "newest": {"type": "int"},
    "sort": {"type": "str"},
    "part": {"type": "dict"},
    "digest_tags": {"type": "bool"},
}

SHARED_ARGUMENTS = {
    "platforms": {"type": "list", "elements": "str"},
    "transport": {"type": "str", "choices": ["docker", "direct"]},
    "on_moved_tag": {"type": "str", "choices": ["fail", "skip", "new_tag"]},
    "referrers": {"type": "bool"},
    "dockerfile": {"type": "list", "elements": "str"},
    "require_match": {"type": "bool"},
}

IMAGE_ARGUMENTS = {
    "source": {"type": "str"},
    "repository": {"type": "str"},
    "tag": {"type": "raw"},
    "tags": {"type": "raw"},
    "select": {"type": "dict", "options": SELECT_ARGUMENTS},
    "digest": {"type": "str"},
    **SHARED_ARGUMENTS,
}

REGISTRY_ARGUMENTS = {
    "host": {"type": "str", "required": True},
    "username": {"type": "str"},
    "password": {"type": "str", "no_log": True},
    "token": {"type": "str", "no_log": True},
    "endpoint": {"type": "str"},
    "ca": {"type": "path"},
    "insecure": {"type": "bool", "default": False},
    "aws_login": {"type": "bool"},
    "region": {"type": "str"},
    "role_arn": {"type": "str"},
}

REPOSITORY_ARGUMENTS = {
    "scan_on_push": {"type": "bool", "default": False},
    "image_tag_mutability": {
        "type": "str",
        "choices": ["MUTABLE", "IMMUTABLE", "MUTABLE_WITH_EXCLUSION", "IMMUTABLE_WITH_EXCLUSION"],
    },
    "image_tag_mutability_exclusion_filters": {"type": "list", "elements": "str"},
    "encryption_type": {"type": "str", "choices": ["AES256", "KMS", "KMS_DSSE"]},
    "kms_key_arn": {"type": "str", "no_log": False},
    "lifecycle_rules": {"type": "list", "elements": "dict"},
    "resource_tags": {"type": "dict"},
}

ARGUMENTS = {
    "images": {"type": "list", "elements": "dict", "options": IMAGE_ARGUMENTS},
    "source": {"type": "str"},
    "repository": {"type": "str"},
    "tag": {"type": "raw"},
    "platform": {"type": "str"},
    "namespace": {"type": "str"},
    "platforms": {"type": "list", "elements": "str"},
    "transport": {"type": "str", "choices": ["docker", "direct"], "default": "docker"},
    "on_moved_tag": {"type": "str", "choices": ["fail", "skip", "new_tag"], "default": "fail"},
    "referrers": {"type": "bool", "default": False},
    "dockerfile": {"type": "list", "elements": "str"},
    "require_match": {"type": "bool", "default": False},
    "registries": {"type": "list", "elements": "dict", "options": REGISTRY_ARGUMENTS, "default": []},
    "create_repositories": {"type": "bool", "default": True},
    "missing_repositories": {"type": "str", "choices": ["fail", "skip"], "default": "fail"},
    "repository_defaults": {"type": "dict", "options": REPOSITORY_ARGUMENTS},
    "parallel": {"type": "int", "default": 8},
    "put_image_rate": {"type": "float", "default": 8.0},
    "rate_limit_reserve": {"type": "int", "default": 0},
    "timeout": {"type": "int", "default": 120},
    "keep_going": {"type": "bool", "default": True},
    "docker_host": {"type": "str"},
    "keep_local": {"type": "bool", "default": False},
    "journal": {"type": "path"},
}


def main() -> None:
    module = AnsibleAWSModule(
        argument_spec=ARGUMENTS,
        supports_check_mode=True,
        required_one_of=[("images", "source")],
        mutually_exclusive=[("images", option) for option in ("source", "repository", "tag", "platform")],
    )
    if not HAS_URLLIB3:
        module.fail_json(msg=missing_required_lib("urllib3"))
    with failing_readably(module):
        result = ImageMirror(module).run()
    if result.get("failed"):
        module.fail_json(**result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
