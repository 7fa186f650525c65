"""The store that layers are downloaded from: S3's part. Whoever holds a signed URL may GET, for a time."""

from __future__ import annotations

import hmac
from datetime import datetime, timedelta, timezone
from urllib.parse import urlencode

from loopback import cloud
from loopback.clock import clock
from loopback.fidelity import assumed, documented
from loopback.services.ecr import state, tokens
from loopback.web import Request, Send, reply, reply_file

LIFETIME = timedelta(hours=1)
TWO_MECHANISMS = (
    "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query string parameter "
    "or the Authorization header should be specified"
)
WRONG_SIGNATURE = (
    "The request signature we calculated does not match the signature you provided. Check your key and signing method."
)
_TIME = "%Y%m%dT%H%M%SZ"


@documented("ECR user guide, vpc-endpoints: layers come from prod-<region>-starport-layer-bucket")
@assumed("how long a URL is valid")
def url(account: str, region: str, digest: str) -> str:
    """Where the layer can be fetched for the next hour."""
    path = f"/{account}/{digest}"
    made = datetime.fromtimestamp(clock.now(), timezone.utc).strftime(_TIME)
    query = {
        "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
        "X-Amz-Date": made,
        "X-Amz-Expires": str(int(LIFETIME.total_seconds())),
        "X-Amz-Signature": _signature("GET", path, made),
    }
    return f"{cloud.running().addresses.blobs(region)}{path}?{urlencode(query)}"


@documented("S3 user guide, using-presigned-url: expiry, one method, no second authentication; ranges as GetObject's")
async def serve(request: Request, send: Send) -> None:
    refused = _refusal(request)
    if refused:
        status, code, message = refused
        document = (
            f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>{message}</Message></Error>'
        )
        await request.drain()
        await reply(send, status, {"Content-Type": "application/xml"}, document.encode())
        return
    path = state.blobs().path(_digest(request))
    kind = {"Content-Type": "application/octet-stream"}
    await reply_file(send, path, kind, byte_range=request.headers.get("range"))


def _refusal(request: Request) -> tuple[int, str, str] | None:
    if "authorization" in request.headers:
        return 400, "InvalidArgument", TWO_MECHANISMS
    made, signature = request.query.get("X-Amz-Date", ""), request.query.get("X-Amz-Signature", "")
    if not made or not signature:
        return 403, "AccessDenied", "Access Denied"
    if not hmac.compare_digest(signature.encode(), _signature(request.method, request.path, made).encode()):
        return 403, "SignatureDoesNotMatch", WRONG_SIGNATURE
    age = datetime.fromtimestamp(clock.now(), timezone.utc) - datetime.strptime(made, _TIME).replace(
        tzinfo=timezone.utc
    )
    if age > LIFETIME:
        return 403, "AccessDenied", "Request has expired"
    if not state.blobs().has(_digest(request)):
        return 404, "NoSuchKey", "The specified key does not exist."
    return None


def _digest(request: Request) -> str:
    return request.path.rpartition("/")[2]


def _signature(method: str, path: str, made: str) -> str:
    return tokens.sign(f"{method}\n{path}\n{made}".encode()).hex()
