from datetime import timedelta

import pytest
from sqlalchemy import select

from pacs_gateway.access import Access, Account, Role
from pacs_gateway.access.tokens import PREFIX
from pacs_gateway.database import Database
from pacs_gateway.database.schema.access import token
from pacs_gateway.errors import ConflictError, InputError, NotFoundError
from tests.pacs_gateway.access.doubles import OPERATOR, MovedClock, trail


@pytest.fixture
def owner(access: Access) -> Account:
    return access.accounts.create("hoa", role=Role.READER, facility="LOCAL", by=OPERATOR).account


def test_token_acts_as_its_account_and_is_not_kept(access: Access, database: Database, owner: Account) -> None:
    value = access.tokens.add("script", account_name="Hoa", by=OPERATOR)
    assert value.startswith(PREFIX)
    assert access.tokens.resolve(value) == owner
    with database.read() as connection:
        assert value not in f"{connection.execute(select(token)).all()} {trail(database)}"


@pytest.mark.parametrize("value", ["", PREFIX, PREFIX + "x" * 43, "x" * 47, PREFIX + "x" * 1_000_000, "\ud800" * 47])
def test_texts_that_are_no_token_find_nobody(access: Access, owner: Account, value: str) -> None:
    access.tokens.add("script", account_name=owner.name, by=OPERATOR)
    assert access.tokens.resolve(value) is None


def test_token_expires(access: Access, owner: Account, clock: MovedClock) -> None:
    value = access.tokens.add("script", account_name=owner.name, by=OPERATOR, expires_in=timedelta(days=1))
    clock.move(timedelta(hours=23))
    assert access.tokens.resolve(value) == owner
    clock.move(timedelta(hours=1))
    assert access.tokens.resolve(value) is None
    assert access.tokens.show("script").expires_at == clock.now


def test_removed_token_is_refused(access: Access, database: Database, owner: Account) -> None:
    value = access.tokens.add("script", account_name=owner.name, by=OPERATOR)
    access.tokens.remove("Script", by=OPERATOR)
    assert access.tokens.resolve(value) is None
    assert access.tokens.list() == ()
    assert [row[2] for row in trail(database)][-2:] == ["token-add", "token-remove"]
    with pytest.raises(NotFoundError):
        access.tokens.remove("script", by=OPERATOR)


def test_wrong_wishes_are_refused(access: Access, owner: Account) -> None:
    access.tokens.add("script", account_name=owner.name, by=OPERATOR)
    with pytest.raises(ConflictError):
        access.tokens.add("SCRIPT", account_name=owner.name, by=OPERATOR)
    with pytest.raises(NotFoundError):
        access.tokens.add("other", account_name="nobody", by=OPERATOR)
    with pytest.raises(InputError):
        access.tokens.add("a b", account_name=owner.name, by=OPERATOR)
    with pytest.raises(InputError):
        access.tokens.add("other", account_name=owner.name, by=OPERATOR, expires_in=timedelta(0))
    with pytest.raises(NotFoundError):
        access.tokens.show("other")
    assert [one.name for one in access.tokens.list()] == ["script"]
