"""AWS services acting in roles that trust them: their calls go over HTTP, signed, and IAM judges each."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import Any

import botocore.config
import botocore.session

from loopback import aws, cloud
from loopback.errors import AwsError

LIFE = 3600.0  # seconds of real time that credentials are valid
_RENEW_BEFORE = LIFE / 2

_session = botocore.session.Session()
_making = threading.Lock()  # a botocore session makes one client at a time


@dataclass
class Actor:
    """A service in a role. Make it by `assume`."""

    role_arn: str
    service: str  # such as codebuild.amazonaws.com
    session: str
    source_arn: str
    account: str
    region: str
    _credentials: dict[str, Any] = field(default_factory=dict, repr=False)

    def credentials(self) -> dict[str, Any]:
        """AccessKeyId, SecretAccessKey, SessionToken, Expiration; renewed long before they expire."""
        expires = self._credentials.get("Expiration")
        if expires is None or expires.timestamp() < time.time() + _RENEW_BEFORE:
            aws.act_in(self.account, self.region)
            self._credentials = aws.service_session(self.role_arn, self.service, self.session, self.source_arn, LIFE)
        return self._credentials

    def client(self, service: str) -> Any:
        """A botocore client that calls this cloud in the role."""
        return _client(service, self.region, self.credentials())


def _client(service: str, region: str, keys: dict[str, Any]) -> Any:
    settings = {"retries": {"mode": "standard", "total_max_attempts": 2}, "s3": {"addressing_style": "path"}}
    with _making:
        return _session.create_client(
            service,
            region_name=region,
            endpoint_url=cloud.running().endpoint,
            aws_access_key_id=keys["AccessKeyId"],
            aws_secret_access_key=keys["SecretAccessKey"],
            aws_session_token=keys.get("SessionToken"),
            config=botocore.config.Config(**settings),
        )


def root_client(service: str) -> Any:
    """A client of the account itself, for what AWS does without asking anybody."""
    return _client(service, aws.region(), {"AccessKeyId": aws.account(), "SecretAccessKey": "root"})


def assume(role_arn: str, service: str, session: str, source_arn: str = "") -> Actor:
    """Take on the role in the account and region of the request being handled; AwsError when it does not trust."""
    actor = Actor(role_arn, service, session, source_arn, aws.account(), aws.region())
    actor.credentials()
    return actor


def reason(error: Exception) -> str:
    """What AWS said, for a message of ours."""
    if isinstance(error, AwsError):
        return error.message
    answer = getattr(error, "response", None) or {}
    said = answer.get("Error", {})
    return f"{said.get('Code')}: {said.get('Message')}" if said else str(error)
