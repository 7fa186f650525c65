"""What other services need to know of ministack's: whether a secret, a role, a key or a subnet is there."""

from __future__ import annotations


def secret_exists(secret_arn: str) -> bool:
    """Whether this is the full ARN of a secret of this account and region that does not await deletion."""
    from ministack.services import secretsmanager

    _key, secret = secretsmanager._resolve(secret_arn)
    return bool(secret) and secret["ARN"] == secret_arn and not secret.get("DeletedDate")


def secret_string(secret_arn: str) -> str | None:
    """The current value of a Secrets Manager secret; None where there is none or it awaits deletion."""
    from ministack.services import secretsmanager

    _key, secret = secretsmanager._resolve(secret_arn)
    if not secret or secret.get("DeletedDate"):
        return None
    for version in secret["Versions"].values():
        if "AWSCURRENT" in version.get("Stages", []):
            value = version.get("SecretString")
            return None if value is None else str(value)
    return None


def secret_kms_key(secret_arn: str) -> str | None:
    """The customer-managed key of a secret, if it has one."""
    from ministack.services import secretsmanager

    _key, secret = secretsmanager._resolve(secret_arn)
    key = (secret or {}).get("KmsKeyId")
    return None if not key or "alias/aws/secretsmanager" in key else str(key)


def role_exists(role_arn: str) -> bool:
    from ministack.services import iam

    return bool(iam._roles.get(role_arn.rsplit("/", 1)[-1]))


def kms_key_arn(key: str) -> str | None:
    """The ARN of a KMS key given by ARN, id or alias."""
    from ministack.services import kms

    found = kms._resolve_key(key)
    return None if found is None else str(found["Arn"])


def subnet_exists(subnet: str) -> bool:
    from ministack.services import ec2

    return subnet in ec2._subnets
