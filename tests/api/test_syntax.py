"""The syntax of names and labels."""

import pytest

from prograde.api.syntax import (
    dns_label_errors,
    dns_subdomain_errors,
    env_name_errors,
    label_key_errors,
    label_value_errors,
    port_name_errors,
)

GOOD = [
    (dns_label_errors, "a"),
    (dns_label_errors, "a-1"),
    (dns_label_errors, "1" * 63),
    (dns_subdomain_errors, "a.b-c.d1"),
    (dns_subdomain_errors, "a" * 253),
    (label_key_errors, "a"),
    (label_key_errors, "A.b_c-D"),
    (label_key_errors, "example.com/name"),
    (label_key_errors, "x" * 63),
    (label_value_errors, ""),
    (label_value_errors, "A.b_c-9"),
    (env_name_errors, "MY_ENV.name-1"),
    (env_name_errors, "1 odd name"),
    (port_name_errors, "http"),
    (port_name_errors, "a-1"),
    (port_name_errors, "x" * 15),
]

BAD = [
    (dns_label_errors, "", ["a lowercase RFC 1123 label must consist of"]),
    (dns_label_errors, "A", ["a lowercase RFC 1123 label must consist of"]),
    (dns_label_errors, "a.b", ["a lowercase RFC 1123 label must consist of"]),
    (dns_label_errors, "-a", ["a lowercase RFC 1123 label must consist of"]),
    (dns_label_errors, "a\n", ["a lowercase RFC 1123 label must consist of"]),
    (dns_label_errors, "a" * 64, ["must be no more than 63 characters"]),
    (dns_subdomain_errors, "a..b", ["a lowercase RFC 1123 subdomain must consist of"]),
    (dns_subdomain_errors, "A" * 254, ["must be no more than 253 characters", "a lowercase RFC 1123 subdomain"]),
    (label_key_errors, "", ["name part must be non-empty", "name part must consist of"]),
    (label_key_errors, "a b", ["name part must consist of"]),
    (label_key_errors, "/a", ["prefix part must be non-empty"]),
    (label_key_errors, "A/a", ["prefix part a lowercase RFC 1123 subdomain"]),
    (label_key_errors, "a/b/c", ["a qualified name must consist of"]),
    (label_key_errors, "x" * 64, ["name part must be no more than 63 characters"]),
    (label_value_errors, "-", ["a valid label must be an empty string or consist of"]),
    (label_value_errors, "x" * 64, ["must be no more than 63 characters"]),
    (env_name_errors, "a=b", ["a valid environment variable name must consist only of printable ASCII"]),
    (env_name_errors, "ä", ["a valid environment variable name must consist only of printable ASCII"]),
    (port_name_errors, "x" * 16, ["must be no more than 15 characters"]),
    (port_name_errors, "80", ["must contain at least one letter (a-z)"]),
    (port_name_errors, "a--b", ["must not contain consecutive hyphens"]),
    (port_name_errors, "a-", ["must not begin or end with a hyphen"]),
    (port_name_errors, "A", ["must contain only alpha-numeric characters", "must contain at least one letter"]),
]


@pytest.mark.parametrize(("check", "text"), GOOD)
def test_a_well_formed_name_gives_no_error(check, text):
    assert check(text) == []


@pytest.mark.parametrize(("check", "text", "beginnings"), BAD)
def test_a_malformed_name_gives_the_messages_of_kubernetes(check, text, beginnings):
    errors = check(text)
    assert len(errors) == len(beginnings)
    for error, beginning in zip(errors, beginnings, strict=True):
        assert error.startswith(beginning)
