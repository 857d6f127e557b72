import pytest

from prograde.api.meta import NamespacedName
from prograde.controller.expectations import WAIT_SECONDS_MAX, Expectations, is_older
from prograde.controller.resources import REPLICA_SETS, ROLLOUTS

KEY = NamespacedName("shop", "cart")
A, B = NamespacedName("shop", "a"), NamespacedName("other", "b")


@pytest.mark.parametrize(
    ("version", "than", "expected"),
    [
        ("9", "10", True),
        ("10", "9", False),
        ("10", "10", False),
        ("101", "110", True),
        ("", "10", False),
        ("10", "", False),
        ("abc", "10", False),
        ("010", "11", False),
        ("-1", "1", False),
    ],
)
def test_versions_compare_as_positive_decimals_and_anything_else_is_never_older(
    version: str, than: str, expected: bool
) -> None:
    assert is_older(version, than) is expected


@pytest.mark.parametrize(
    ("seen", "is_unseen"), [("9", True), (None, True), ("10", False), ("11", False), ("odd", False)]
)
def test_a_cache_is_behind_until_it_has_our_last_write(seen: str | None, is_unseen: bool) -> None:
    expectations = Expectations()
    expectations.note(KEY, ROLLOUTS, KEY, "10", 0.0)
    assert expectations.unseen(KEY, ROLLOUTS, KEY, seen, 1.0) is is_unseen


def test_nothing_written_means_nothing_to_wait_for() -> None:
    assert not Expectations().unseen(KEY, ROLLOUTS, KEY, None, 0.0)


def test_waiting_ends_because_an_object_may_be_gone_before_it_was_ever_seen() -> None:
    expectations = Expectations()
    expectations.note(KEY, REPLICA_SETS, A, "10", 0.0)
    assert expectations.unseen(KEY, REPLICA_SETS, A, None, WAIT_SECONDS_MAX)
    assert not expectations.unseen(KEY, REPLICA_SETS, A, None, WAIT_SECONDS_MAX + 0.1)


def test_objects_settle_one_by_one_and_all_are_forgotten_with_their_rollout() -> None:
    expectations = Expectations()
    expectations.note(KEY, REPLICA_SETS, A, "10", 0.0)
    expectations.note(KEY, REPLICA_SETS, B, "11", 0.0)
    expectations.settle(KEY, REPLICA_SETS, A)
    assert expectations.expected(KEY) == ((REPLICA_SETS, B),)
    expectations.forget(KEY)
    assert expectations.expected(KEY) == ()
    expectations.settle(KEY, REPLICA_SETS, B)


def test_the_latest_write_counts() -> None:
    expectations = Expectations()
    expectations.note(KEY, ROLLOUTS, KEY, "10", 0.0)
    expectations.note(KEY, ROLLOUTS, KEY, "12", 0.0)
    assert expectations.unseen(KEY, ROLLOUTS, KEY, "11", 0.0)
