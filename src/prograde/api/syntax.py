"""The syntax of names and labels, with the messages that Kubernetes gives for what breaks it.

Every function returns the list of complaints about one text, empty when it is fine; the messages are those that users
know from the API server.
"""

import re
from typing import Final

__all__ = [
    "dns_label_errors",
    "dns_subdomain_errors",
    "env_name_errors",
    "label_key_errors",
    "label_value_errors",
    "port_name_errors",
]

_LABEL_LENGTH_MAX: Final = 63
_SUBDOMAIN_LENGTH_MAX: Final = 253
_PORT_NAME_LENGTH_MAX: Final = 15

_DNS_LABEL: Final = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_DNS_SUBDOMAIN: Final = rf"{_DNS_LABEL}(\.{_DNS_LABEL})*"
_QUALIFIED_NAME: Final = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_LABEL_VALUE: Final = f"({_QUALIFIED_NAME})?"

_DNS_LABEL_PATTERN = re.compile(_DNS_LABEL)
_DNS_SUBDOMAIN_PATTERN = re.compile(_DNS_SUBDOMAIN)
_QUALIFIED_NAME_PATTERN = re.compile(_QUALIFIED_NAME)
_LABEL_VALUE_PATTERN = re.compile(_LABEL_VALUE)

_NAME_RULE: Final = (
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character "
    f"(e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '{_QUALIFIED_NAME}')"
)


def _too_long(length_max: int) -> str:
    return f"must be no more than {length_max} characters"


def dns_label_errors(text: str) -> list[str]:
    """Check an RFC 1123 label: a container name, a Service name's modern form."""
    errors = []
    if len(text) > _LABEL_LENGTH_MAX:
        errors.append(_too_long(_LABEL_LENGTH_MAX))
    if not _DNS_LABEL_PATTERN.fullmatch(text):
        errors.append(
            "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and "
            "end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
            f"'{_DNS_LABEL}')"
        )
    return errors


def dns_subdomain_errors(text: str) -> list[str]:
    """Check an RFC 1123 subdomain: the name of most objects."""
    errors = []
    if len(text) > _SUBDOMAIN_LENGTH_MAX:
        errors.append(_too_long(_SUBDOMAIN_LENGTH_MAX))
    if not _DNS_SUBDOMAIN_PATTERN.fullmatch(text):
        errors.append(
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must "
            "start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
            f"'{_DNS_SUBDOMAIN}')"
        )
    return errors


def label_key_errors(key: str) -> list[str]:
    """Check the key of a label or annotation: a name, with an optional DNS prefix before a slash."""
    prefix, slash, name = key.rpartition("/")
    if "/" in prefix:
        return [
            f"a qualified name {_NAME_RULE} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
        ]
    errors = []
    if slash:
        if not prefix:
            errors.append("prefix part must be non-empty")
        else:
            errors.extend(f"prefix part {error}" for error in dns_subdomain_errors(prefix))
    if not name:
        errors.append("name part must be non-empty")
    elif len(name) > _LABEL_LENGTH_MAX:
        errors.append(f"name part {_too_long(_LABEL_LENGTH_MAX)}")
    if not _QUALIFIED_NAME_PATTERN.fullmatch(name):
        errors.append(f"name part {_NAME_RULE}")
    return errors


def label_value_errors(value: str) -> list[str]:
    """Check the value of a label; empty is fine."""
    errors = []
    if len(value) > _LABEL_LENGTH_MAX:
        errors.append(_too_long(_LABEL_LENGTH_MAX))
    if not _LABEL_VALUE_PATTERN.fullmatch(value):
        errors.append(
            "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must "
            "start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for "
            f"validation is '{_LABEL_VALUE}')"
        )
    return errors


def env_name_errors(name: str) -> list[str]:
    """Check the name of an environment variable, by the relaxed rule: printable ASCII without ``=``."""
    if not name or not all(" " <= character <= "~" and character != "=" for character in name):
        rule = (
            "a valid environment variable name must consist only of printable ASCII characters other than '=' "
            "(e.g. 'my.env-name',  or 'MY_ENV.NAME',  or 'MyEnvName1', regex used for validation is '^[ -<>-~]+$')"
        )
        return [rule]
    return []


def port_name_errors(name: str) -> list[str]:
    """Check the name of a port (an IANA service name)."""
    errors = []
    if len(name) > _PORT_NAME_LENGTH_MAX:
        errors.append(_too_long(_PORT_NAME_LENGTH_MAX))
    if not re.fullmatch(r"[-a-z0-9]+", name):
        errors.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if not re.search(r"[a-z]", name):
        errors.append("must contain at least one letter (a-z)")
    if "--" in name:
        errors.append("must not contain consecutive hyphens")
    if name.startswith("-") or name.endswith("-"):
        errors.append("must not begin or end with a hyphen")
    return errors
