"""Who is asking, and may they.

Everybody with the cluster's token is its administrator. A users file can add others, whose verbs are restricted by
resource, to see how a program behaves when something is forbidden. Role objects are stored and shown, but never
evaluated: what somebody may do here is in the users file alone.

The review kinds (`kubectl auth can-i`, `auth whoami`) are answered from the same rules.
"""

import secrets
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from random import Random
from typing import Any

import msgspec

from prograde.api.manifests import ManifestError, load_documents
from prograde.sandbox.errors import StatusError
from prograde.sandbox.kinds import Kind, Object
from prograde.sandbox.objectmeta import coerce_metadata
from prograde.sandbox.verbs import json_time

__all__ = ["ADMIN", "ANONYMOUS", "Authenticator", "InvalidUsers", "Rule", "User", "load_users", "review"]

_READ_BY_ANYONE = ("/version", "/healthz", "/livez", "/readyz")
"""Prefixes of the paths that need no credentials."""

TOKEN_SECONDS = 3600


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Verbs on resources, such as ``create`` on ``rollouts.argoproj.io``; ``*`` stands for all."""

    verbs: tuple[str, ...]
    resources: tuple[str, ...]

    def covers(self, verb: str, resource: str) -> bool:
        return ("*" in self.verbs or verb in self.verbs) and ("*" in self.resources or resource in self.resources)


class User(msgspec.Struct, frozen=True):
    """A caller. With `allow`, only what it covers is allowed; what `deny` covers never is."""

    name: str
    groups: tuple[str, ...] = ("system:authenticated",)
    allow: tuple[Rule, ...] = ()
    deny: tuple[Rule, ...] = ()

    def may(self, verb: str, resource: str) -> bool:
        """Return whether the user may do `verb` on a resource written like ``deployments.apps`` or ``pods``."""
        if any(rule.covers(verb, resource) for rule in self.deny):
            return False
        return not self.allow or any(rule.covers(verb, resource) for rule in self.allow)


ADMIN = User("sandbox-admin", ("system:masters", "system:authenticated"))
ANONYMOUS = User("system:anonymous", ("system:unauthenticated",))


class InvalidUsers(ValueError):
    """A users file cannot be used; the message says what and where."""


class _UsersFile(msgspec.Struct, forbid_unknown_fields=True):
    class Entry(msgspec.Struct, forbid_unknown_fields=True):
        token: str
        name: str
        groups: tuple[str, ...] = ("system:authenticated",)
        allow: tuple[Rule, ...] = ()
        deny: tuple[Rule, ...] = ()

    users: list[Entry]


def load_users(text: str, source: str = "users") -> dict[str, User]:
    """Read a users file (YAML): a list `users` of token, name, groups, and the rules `allow` and `deny`.

    Raises:
        InvalidUsers: it is no such file, or two users have one token.
    """
    try:
        documents = load_documents(text, source)
        file = msgspec.convert(documents[0].value if documents else {}, _UsersFile)
    except (ManifestError, msgspec.ValidationError) as err:
        raise InvalidUsers(f"{source}: {err}") from err
    users: dict[str, User] = {}
    for entry in file.users:
        if not entry.token or entry.token in users:
            raise InvalidUsers(f"{source}: user {entry.name}: the token is empty or another user's")
        users[entry.token] = User(entry.name, entry.groups, entry.allow, entry.deny)
    return users


class Authenticator:
    """The tokens of one cluster and whom they stand for."""

    def __init__(self, token: str = "", users: Mapping[str, User] | None = None) -> None:
        self.token = token or secrets.token_hex(32)
        self._users: dict[str, User] = {**(users or {}), self.token: ADMIN}

    def authenticate(self, path: str, headers: Mapping[str, str]) -> User:
        """Return the caller of a request.

        Raises:
            StatusError: 401, the token is missing or unknown and the path is not for everybody.
        """
        scheme, _, token = headers.get("authorization", "").partition(" ")
        user = self._users.get(token.strip()) if scheme.lower() == "bearer" else None
        if user is None:
            if not scheme and any(path == prefix or path.startswith(f"{prefix}/") for prefix in _READ_BY_ANYONE):
                return ANONYMOUS
            raise StatusError(401, "Unauthorized", "Unauthorized")
        return impersonated(user, headers)

    def issue(self, service_account: str, namespace: str, rng: Random) -> str:
        """Return a new token that stands for a service account."""
        token = f"sandbox-{rng.getrandbits(256):064x}"
        groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated")
        self._users[token] = User(f"system:serviceaccount:{namespace}:{service_account}", groups)
        return token

    def user_of(self, token: str) -> User | None:
        return self._users.get(token)


def impersonated(user: User, headers: Mapping[str, str]) -> User:
    """Return the user that an ``Impersonate-User`` header names: another name, the same rights."""
    name = headers.get("impersonate-user")
    if not name:
        return user
    groups = tuple(group for group in headers.get("impersonate-group", "").split(",") if group)
    return msgspec.structs.replace(user, name=name, groups=(*groups, "system:authenticated"))


def check_access(user: User, verb: str, kind: Kind, subresource: str, namespace: str, name: str) -> None:
    """Refuse what the user may not do.

    Raises:
        StatusError: 403, in the words of Kubernetes.
    """
    if not user.deny and not user.allow:
        return
    plural = f"{kind.plural}/{subresource}" if subresource else kind.plural
    if user.may(verb, f"{plural}.{kind.group}" if kind.group else plural):
        return
    scope = f'in the namespace "{namespace}"' if namespace else "at the cluster scope"
    why = f'User "{user.name}" cannot {verb} resource "{plural}" in API group "{kind.group}" {scope}'
    raise StatusError.forbidden(kind.group, kind.plural, name, why)


class _Attributes(msgspec.Struct):
    verb: str = ""
    group: str = ""
    resource: str = ""
    subresource: str = ""


class _ReviewSpec(msgspec.Struct):
    """The parts of the specs of all reviews that matter here; the wire's names."""

    resourceAttributes: _Attributes | None = None  # noqa: N815
    token: str = ""


def review(kind: Kind, obj: Object, user: User, authenticator: Authenticator, now: Callable[[], datetime]) -> Object:
    """Answer a review: the object that was sent, with its status.

    Raises:
        StatusError: 400, something in it has the wrong type.
    """
    coerce_metadata(obj, kind)
    try:
        spec = msgspec.convert(obj.get("spec") or {}, _ReviewSpec)
    except msgspec.ValidationError as err:
        message = f'{kind.kind} in version "{kind.version}" cannot be handled as a {kind.kind}: spec: {err}'
        raise StatusError.bad_request(message) from err
    match kind.kind:
        case "SelfSubjectAccessReview" | "SubjectAccessReview":
            status = _access_status(spec, user)
        case "SelfSubjectRulesReview":
            status = _rules_status(user)
        case "SelfSubjectReview":
            status = {"userInfo": _user_info(user)}
        case _:
            found = authenticator.user_of(spec.token)
            status = {"authenticated": True, "user": _user_info(found)} if found else {"user": {}}
            if found is None:
                status["error"] = "the token is not known to this server"
    metadata = {**obj["metadata"], "creationTimestamp": json_time(now())}
    answer = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata, "status": status}
    return {**answer, "spec": obj["spec"]} if obj.get("spec") else answer


def token_request(obj: Object, token: str, now: datetime) -> Object:
    """Return a TokenRequest with the token that was made for it."""
    spec = obj.get("spec")
    spec = spec if isinstance(spec, dict) else {}
    seconds = spec.get("expirationSeconds")
    if not isinstance(seconds, int) or seconds <= 0:
        seconds = TOKEN_SECONDS
    return {
        "kind": "TokenRequest",
        "apiVersion": "authentication.k8s.io/v1",
        "metadata": {"creationTimestamp": json_time(now)},
        "spec": {**spec, "expirationSeconds": seconds},
        "status": {"token": token, "expirationTimestamp": json_time(now + timedelta(seconds=seconds))},
    }


def _access_status(spec: _ReviewSpec, user: User) -> dict[str, Any]:
    asked = spec.resourceAttributes
    if asked is None:
        return {"allowed": True, "reason": "sandbox allows everything"}
    resource = f"{asked.resource}/{asked.subresource}" if asked.subresource else asked.resource
    if user.may(asked.verb, f"{resource}.{asked.group}" if asked.group not in ("", "*") else resource):
        return {"allowed": True, "reason": "sandbox allows everything"}
    return {"allowed": False, "reason": f"the users file does not let {user.name} do this"}


def _rules_status(user: User) -> dict[str, Any]:
    rules = [
        {"verbs": list(rule.verbs), "apiGroups": ["*"], "resources": list(rule.resources)} for rule in user.allow
    ] or [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}]
    return {
        "resourceRules": rules,
        "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
        "incomplete": bool(user.deny),
    }


def _user_info(user: User) -> dict[str, Any]:
    return {"username": user.name, "groups": list(user.groups)}
