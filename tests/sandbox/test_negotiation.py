import pytest

from prograde.sandbox.errors import StatusError
from prograde.sandbox.negotiation import Accepted, Where, negotiate

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
TABLE_BETA = "application/json;as=Table;v=v1beta1;g=meta.k8s.io"
METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
DISCOVERY = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
PROTOBUF = "application/vnd.kubernetes.protobuf"


@pytest.mark.parametrize(
    ("accept", "where", "expected"),
    [
        ("", "objects", Accepted("json")),
        ("*/*", "objects", Accepted("json")),
        ("application/*", "objects", Accepted("json")),
        ("application/json", "objects", Accepted("json")),
        ("application/json;stream=watch", "watch", Accepted("json")),
        (f"{PROTOBUF},application/json", "objects", Accepted("json")),
        ("application/yaml", "objects", Accepted("yaml")),
        ("application/json;q=0, application/yaml", "objects", Accepted("yaml")),
        (f"{TABLE},{TABLE_BETA},application/json", "objects", Accepted("table", "v1")),
        (f"{TABLE_BETA},application/json", "objects", Accepted("table", "v1beta1")),
        (f"{TABLE},application/json", "plain", Accepted("json")),
        (METADATA, "watch", Accepted("metadata", "v1")),
        (METADATA.replace("Metadata;", "MetadataList;"), "objects", Accepted("metadata", "v1")),
        ("application/json;as=Unknown;g=meta.k8s.io;v=v1,application/json", "objects", Accepted("json")),
        (f"{DISCOVERY},application/json", "discovery", Accepted("discovery", "v2")),
        (f"{DISCOVERY},application/json", "objects", Accepted("json")),
        ("text/html, application/xhtml+xml, */*;q=0.8", "objects", Accepted("json")),
    ],
)
def test_the_first_form_that_can_be_made_wins(accept: str, where: Where, expected: Accepted) -> None:
    assert negotiate(accept, where) == expected


@pytest.mark.parametrize(
    ("accept", "where"),
    [
        (PROTOBUF, "objects"),
        ("application/cbor", "objects"),
        (f"{PROTOBUF};stream=watch", "watch"),
        ("application/yaml", "watch"),
        ("application/json;as=Unknown;g=meta.k8s.io;v=v1", "objects"),
        (TABLE.replace("v1;", "v9;"), "objects"),
        ("application/json;q=0", "objects"),
    ],
)
def test_a_client_that_accepts_nothing_of_ours_is_told_what_there_is(accept: str, where: Where) -> None:
    with pytest.raises(StatusError, match="only the following media types are accepted") as raised:
        negotiate(accept, where)
    assert (raised.value.code, raised.value.reason) == (406, "NotAcceptable")
