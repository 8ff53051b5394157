import itertools

import pytest

from pacs_gateway.access import Action, Caller, CallerKind, Right, Role, decide, scope
from pacs_gateway.access.policy import BY_RIGHT, BY_ROLE, reach
from pacs_gateway.domain.rejection import Reach
from pacs_gateway.errors import RefusedError, UnauthenticatedError

# Written down apart from the tables they check.
READER_MAY = {"echo", "search", "read"}
RIGHT_GIVES = {
    "echo": "echo",
    "store": "store",
    "find": "search",
    "move": "move",
    "get": "read",
    "commit": "commit",
    "worklist": "worklist",
    "delete": "delete",
}


def may(caller: Caller | None, action: Action, facility: str | None = None) -> bool:
    try:
        decide(caller, action, facility=facility)
    except RefusedError:
        return False
    return True


def account(role: Role) -> Caller:
    return Caller(kind=CallerKind.ACCOUNT, name="hoa", facility="A", role=role)


def device(*rights: Right) -> Caller:
    return Caller(kind=CallerKind.DEVICE, name="CT1", facility="A", rights=frozenset(rights))


def test_every_role_and_right_is_in_the_tables() -> None:
    assert set(BY_ROLE) == set(Role)
    assert set(BY_RIGHT) == set(Right) == set(RIGHT_GIVES)


@pytest.mark.parametrize(("role", "action"), list(itertools.product(Role, Action)))
def test_every_role_and_action(role: Role, action: Action) -> None:
    assert may(account(role), action) is (role is Role.ADMINISTRATOR or action in READER_MAY)


@pytest.mark.parametrize(("right", "action"), list(itertools.product(Right, Action)))
def test_every_right_and_action(right: Right, action: Action) -> None:
    assert may(device(right), action) is (RIGHT_GIVES[right] == action)


@pytest.mark.parametrize("action", list(Action))
def test_no_device_resolves_or_administers_and_no_right_means_nothing(action: Action) -> None:
    forbidden = {Action.RESOLVE, Action.ADMINISTER}
    assert may(device(*Right), action) is (action not in forbidden)
    assert not may(device(), action)


@pytest.mark.parametrize("action", list(Action))
def test_nobody_may_nothing(action: Action) -> None:
    with pytest.raises(UnauthenticatedError):
        decide(None, action)


@pytest.mark.parametrize("action", list(Action))
def test_one_time_password_allows_nothing_but_its_change(action: Action) -> None:
    caller = Caller(kind=CallerKind.ACCOUNT, name="a", facility="A", role=Role.ADMINISTRATOR, must_change_password=True)
    assert not may(caller, action)


@pytest.mark.parametrize("action", list(Action))
def test_open_door_is_an_administrator(action: Action) -> None:
    assert may(Caller.of_open_door(facility="A"), action, "B")


@pytest.mark.parametrize("caller", [account(Role.READER), device(*Right)])
def test_another_facility_does_not_exist(caller: Caller) -> None:
    assert may(caller, Action.READ, "A")
    assert not may(caller, Action.READ, "B")
    assert scope(caller).includes("A")
    assert not scope(caller).includes("B")
    assert not scope(caller).includes("")


def test_administrator_sees_every_facility() -> None:
    assert scope(account(Role.ADMINISTRATOR)).facilities is None
    assert may(account(Role.ADMINISTRATOR), Action.READ, "B")


@pytest.mark.parametrize(
    ("caller", "expected"),
    [
        (account(Role.ADMINISTRATOR), Reach.ALL),
        (account(Role.READER), Reach.NOTHING),
        (device(*set(Right) - {Right.DELETE}), Reach.NOTHING),
        (device(Right.STORE, Right.DELETE), Reach.OWN),
        (Caller.of_open_door(facility="A"), Reach.ALL),
    ],
)
def test_rejection_notes_reach_as_far_as_deleting(caller: Caller, expected: Reach) -> None:
    assert reach(caller) is expected
