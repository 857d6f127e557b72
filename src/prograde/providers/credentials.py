"""Credentials of providers: Secrets, read anew for every measurement, so that a changed key counts at once."""

import msgspec

from prograde.kube.errors import ApiError, KubeError
from prograde.kube.resources import Resource
from prograde.providers.base import ProviderContext, ProviderError

__all__ = ["hidden", "read_secret"]

_SECRETS = Resource(plural="secrets", kind="Secret")


class _SecretData(msgspec.Struct, frozen=True):
    """The part of a Secret that is read. msgspec decodes base64 for bytes."""

    data: dict[str, bytes] = {}


async def read_secret(context: ProviderContext, name: str, *, namespace: str = "") -> dict[str, str]:
    """Return the entries of a Secret; without `namespace` it is one of the controller's own.

    Raises:
        ProviderError: it cannot be read, in the words of the API server.
    """
    try:
        answer = await context.client.get(_SECRETS, namespace or context.own_namespace, name)
        data = answer.to(_SecretData).data
    except ApiError as err:
        raise ProviderError(err.message) from err
    except KubeError as err:
        raise ProviderError(str(err)) from err
    return {key: entry.decode("utf-8", "replace") for key, entry in data.items()}


def hidden(text: str, *credentials: str) -> str:
    """Return a text without credentials: servers repeat what they have been sent, and messages are public."""
    for credential in sorted(filter(None, credentials), key=len, reverse=True):
        text = text.replace(credential, "*****")
    return text
