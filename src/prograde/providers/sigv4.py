"""Signing requests to AWS, with the credentials that AWS's own tools would find.

Needs botocore, which comes with the extra ``aws``: it knows every place where credentials may be.
"""

import asyncio
from typing import Any, Final

from prograde.api.analysis import Sigv4
from prograde.providers.errors import ProviderError

__all__ = ["sign"]

MISSING: Final = "AWS credentials need the package botocore: install prograde[aws]"


async def sign(method: str, url: str, body: bytes, *, service: str, config: Sigv4) -> dict[str, str]:
    """Return the headers that authenticate a request.

    Raises:
        ProviderError: botocore is not installed, or finds no credentials or region.
    """
    # Looking for credentials may ask the metadata service of the machine, and blocks meanwhile.
    return await asyncio.to_thread(_sign, method, url, body, service, config)


def _sign(method: str, url: str, body: bytes, service: str, config: Sigv4) -> dict[str, str]:
    try:
        from botocore.auth import SigV4Auth
        from botocore.awsrequest import AWSRequest
        from botocore.exceptions import BotoCoreError, ClientError
        from botocore.session import Session
    except ImportError:
        raise ProviderError(MISSING) from None
    try:
        session: Any = Session(profile=config.profile or None)
        region = config.region or session.get_config_variable("region")
        if not region:
            raise ProviderError("AWS region is not configured")
        credentials = session.get_credentials()
        if config.role_arn:
            credentials = _assumed(session, region, config.role_arn)
        if credentials is None:
            raise ProviderError("no AWS credentials found")
        request = AWSRequest(method=method, url=url, data=body, headers={})
        if body:
            request.headers["Content-Type"] = "application/x-www-form-urlencoded"
        SigV4Auth(credentials, service, region).add_auth(request)
        return dict(request.headers.items())
    except (BotoCoreError, ClientError) as err:
        raise ProviderError(f"AWS credentials: {err}") from err


def _assumed(session: Any, region: str, role_arn: str) -> Any:
    """Return the credentials of a role that the session's own may take on."""
    from botocore.credentials import Credentials

    client = session.create_client("sts", region_name=region)
    given = client.assume_role(RoleArn=role_arn, RoleSessionName="prograde")["Credentials"]
    return Credentials(given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"])
