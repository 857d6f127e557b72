import pytest

from prograde.sandbox.auth import InvalidUsers, Rule, User, load_users

FILE = """
users:
- token: t1
  name: ann
  groups: [dev]
  deny:
  - {verbs: [delete], resources: ["*"]}
- token: t2
  name: bob
  allow:
  - {verbs: ["*"], resources: [pods, rollouts.argoproj.io]}
"""


def test_a_users_file_says_who_may_do_what() -> None:
    users = load_users(FILE)
    ann, bob = users["t1"], users["t2"]
    assert (ann.name, ann.groups) == ("ann", ("dev",))
    assert (ann.may("get", "pods"), ann.may("delete", "pods")) == (True, False)
    assert (bob.may("delete", "rollouts.argoproj.io"), bob.may("get", "secrets")) == (True, False)


def test_a_denial_beats_an_allowance() -> None:
    every = Rule(("*",), ("*",))
    assert not User("x", allow=(every,), deny=(every,)).may("get", "pods")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("users: [", "mine:"),
        ("users: [{token: t}]", "name"),
        ("users: [{token: t, name: a, colour: red}]", "colour"),
        ("users: [{token: t, name: a}, {token: t, name: b}]", "user b: the token is empty or another user's"),
        ("users: [{token: '', name: a}]", "user a: the token is empty"),
        ("", "users"),
    ],
)
def test_a_users_file_with_a_mistake_is_refused_by_name(text: str, problem: str) -> None:
    with pytest.raises(InvalidUsers, match=problem):
        load_users(text, "mine")
