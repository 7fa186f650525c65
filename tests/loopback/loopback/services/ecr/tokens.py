"""Registry passwords: what GetAuthorizationToken gives and /v2/ takes. Signed, so that nothing has to be remembered."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import secrets
from dataclasses import dataclass
from typing import Any

from loopback import aws
from loopback.clock import clock
from loopback.errors import RegistryError
from loopback.fidelity import assumed, documented

VALIDITY = 12 * 3600
USER = "AWS"
_MAC = hashlib.sha256().digest_size
_PADDING = 1200  # AWS's passwords are kilobytes long


@dataclass(frozen=True)
class Token:
    """Who asked for the password, and in which region."""

    access_key: str
    account: str
    region: str


class Mint:
    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)
        self._generation = 0

    @documented("ECR user guide, registry_auth: a password is valid for 12 hours, in its region")
    def mint(self, access_key: str) -> tuple[str, float]:
        """A password for the principal behind `access_key`, and when it expires."""
        expires = clock.now() + VALIDITY
        payload = {
            "key": access_key,
            "account": aws.account(),
            "region": aws.region(),
            "expires": expires,
            "generation": self._generation,
            "padding": secrets.token_hex(_PADDING // 2),
        }
        text = json.dumps(payload).encode()
        return base64.urlsafe_b64encode(self.sign(text) + text).decode(), expires

    @documented("ECR user guide, registry_auth: a password expires")
    @assumed("wording, as users quote it; a password that is no password of ECR's gets the same 401 as none at all")
    def check(self, header: str | None) -> Token | None:
        """The token in an Authorization header; None when there is none that ECR knows."""
        payload = self._payload(header)
        if payload is None:
            return None
        if payload["expires"] <= clock.now() or payload["generation"] < self._generation:
            raise RegistryError("DENIED", "Your authorization token has expired. Reauthenticate and try again.", 403)
        return Token(payload["key"], payload["account"], payload["region"])

    def expire_all(self) -> None:
        self._generation += 1

    def sign(self, text: bytes) -> bytes:
        return hmac.digest(self._key, text, "sha256")

    def _payload(self, header: str | None) -> dict[str, Any] | None:
        scheme, _space, encoded = (header or "").partition(" ")
        if scheme.lower() != "basic":
            return None
        try:
            user, _colon, password = base64.b64decode(encoded, validate=True).decode().partition(":")
            content = base64.urlsafe_b64decode(password)
        except (binascii.Error, UnicodeDecodeError):
            return None
        signature, text = content[:_MAC], content[_MAC:]
        if user != USER or not hmac.compare_digest(signature, self.sign(text)):
            return None
        payload: dict[str, Any] = json.loads(text)
        return payload


_mint = Mint()
mint, check, expire_all, sign = _mint.mint, _mint.check, _mint.expire_all, _mint.sign
