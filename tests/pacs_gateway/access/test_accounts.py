import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from pwdlib.hashers import HasherProtocol
from pwdlib.hashers.argon2 import Argon2Hasher
from sqlalchemy import func, select

from pacs_gateway.access import Access, AccessConfig, Account, Role
from pacs_gateway.access.accounts import Accounts
from pacs_gateway.access.audit import Audit
from pacs_gateway.access.passwords import MAX_LENGTH, Passwords
from pacs_gateway.database import Database
from pacs_gateway.database.schema.access import login_failure
from pacs_gateway.domain.clock import to_microseconds
from pacs_gateway.errors import ConflictError, GatewayError, InputError, NotFoundError, UnauthenticatedError
from tests.pacs_gateway.access.doubles import OPERATOR, MovedClock, trail

PASSWORD = "correct horse battery"
ADDRESS = "192.0.2.7"


@pytest.fixture
def reader(access: Access) -> Account:
    made = access.accounts.create("hoa", role=Role.READER, facility="LOCAL", by=OPERATOR, password=PASSWORD)
    return made.account


def attempt(access: Access, name: str, password: str, address: str = ADDRESS) -> str:
    try:
        access.accounts.authenticate(name, password, address=address)
    except UnauthenticatedError as error:
        return str(error)
    return "in"


def test_right_password_gives_the_account(access: Access, reader: Account) -> None:
    assert access.accounts.authenticate(" Hoa ", PASSWORD, address=ADDRESS) == reader


def test_password_is_the_same_however_the_keyboard_composes_it(access: Access) -> None:
    access.accounts.create("duc", role=Role.READER, facility="LOCAL", by=OPERATOR, password="mật khẩu của Đức")
    decomposed = "mật khẩu của Đức"
    assert access.accounts.authenticate("duc", decomposed, address=ADDRESS).name == "duc"


def test_account_without_password_gets_a_one_time_password_to_change(access: Access) -> None:
    made = access.accounts.create("lan", role=Role.READER, facility="LOCAL", by=OPERATOR)
    assert made.one_time_password is not None
    assert made.one_time_password not in repr(made)
    assert access.accounts.authenticate("lan", made.one_time_password, address=ADDRESS).must_change
    access.accounts.change_password("lan", old=made.one_time_password, new=PASSWORD, address=ADDRESS)
    assert not access.accounts.authenticate("lan", PASSWORD, address=ADDRESS).must_change
    assert attempt(access, "lan", made.one_time_password) != "in"


@pytest.mark.parametrize("name", ["", "a b", "Đức", "../x", "a" * 65, "-x", "x\n", "x\x00"])
def test_names_that_are_not_names_are_refused(access: Access, name: str) -> None:
    if name == "x\n":
        name = "x\ny"  # a line break at the end is only padding
    with pytest.raises(InputError):
        access.accounts.create(name, role=Role.READER, facility="LOCAL", by=OPERATOR)


@pytest.mark.parametrize("password", ["", "short", "x" * (MAX_LENGTH + 1), "long-name-here"])
def test_passwords_that_break_the_rule_are_refused_and_not_repeated(access: Access, password: str) -> None:
    with pytest.raises(InputError) as caught:
        access.accounts.create("long-name-here", role=Role.READER, facility="LOCAL", by=OPERATOR, password=password)
    assert not password or password not in str(caught.value)
    assert access.accounts.list() == ()


def test_a_taken_name_is_a_conflict_in_any_case(access: Access, reader: Account) -> None:
    with pytest.raises(ConflictError):
        access.accounts.create(reader.name.upper(), role=Role.READER, facility="LOCAL", by=OPERATOR)


def test_every_refusal_is_the_same(access: Access, reader: Account) -> None:
    refusals = {
        attempt(access, reader.name, "wrong"),
        attempt(access, "nobody", PASSWORD),
        attempt(access, "", ""),
        attempt(access, "x" * 100_000, "y" * 100_000),
        attempt(access, reader.name, PASSWORD + "\ud800"),
        attempt(access, "\ud800\x00", PASSWORD),
    }
    for _ in range(20):
        refusals.add(attempt(access, reader.name, "wrong"))
    refusals.add(attempt(access, reader.name, PASSWORD))  # right, but locked by now
    assert refusals == {"name or password is wrong"}


def test_thousand_guesses_are_blocked_and_the_lock_ends(access: Access, reader: Account, clock: MovedClock) -> None:
    guesses = [f"guess number {n}" for n in range(999)] + [PASSWORD]
    assert {attempt(access, reader.name, guess) for guess in guesses} == {"name or password is wrong"}
    clock.move(timedelta(seconds=31))
    assert attempt(access, reader.name, PASSWORD) == "in"


def test_guesses_made_at_once_do_not_slip_through(access: Access, database: Database, reader: Account) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: attempt(access, reader.name, f"guess number {n}"), range(200)))
    judged = [row for row in trail(database) if row[2] == "login"]
    assert len(judged) == 5


def test_the_lock_doubles_up_to_an_hour(access: Access, reader: Account, clock: MovedClock) -> None:
    for _ in range(5):
        attempt(access, reader.name, "wrong")
    for seconds in (30, 60, 120, 240, 480, 960, 1920, 3600, 3600):
        clock.move(timedelta(seconds=seconds - 1))
        assert attempt(access, reader.name, PASSWORD) != "in"
        clock.move(timedelta(seconds=1))
        assert attempt(access, reader.name, "wrong again") != "in"


def test_a_lock_holds_for_one_name_from_one_address(access: Access, reader: Account) -> None:
    for _ in range(10):
        attempt(access, reader.name, "wrong", "2001:db8::1")
    assert attempt(access, reader.name, PASSWORD, "2001:db8::2") != "in"  # the same /64 is the same machine
    assert attempt(access, reader.name, PASSWORD, "2001:db8:0:1::1") == "in"
    assert attempt(access, reader.name, PASSWORD, "::ffff:192.0.2.7") == "in"


def test_success_forgets_failures(access: Access, reader: Account) -> None:
    for _ in range(10):
        for _ in range(4):
            attempt(access, reader.name, "wrong")
        assert attempt(access, reader.name, PASSWORD) == "in"


def test_unknown_names_cost_the_same_hash(database: Database, clock: MovedClock) -> None:
    class CountingHasher(Argon2Hasher):
        n_verified = 0

        def verify(self, password: str | bytes, hash: str | bytes) -> bool:
            type(self).n_verified += 1
            return super().verify(password, hash)

    hasher: HasherProtocol = CountingHasher(time_cost=1, memory_cost=8, parallelism=1)
    accounts = Accounts(database, Audit(clock=clock), config=AccessConfig(), clock=clock, passwords=Passwords(hasher))
    accounts.create("hoa", role=Role.READER, facility="LOCAL", by=OPERATOR, password=PASSWORD)
    for name in ("hoa", "nobody"):
        before = CountingHasher.n_verified
        with pytest.raises(UnauthenticatedError):
            accounts.authenticate(name, "wrong", address=ADDRESS)
        assert CountingHasher.n_verified == before + 1


@pytest.mark.parametrize("name", ["hoa", "nobody"])
def test_a_failure_is_written_alike_for_known_and_unknown_names(
    database: Database, clock: MovedClock, name: str
) -> None:
    class SlowHasher(Argon2Hasher):
        def verify(self, password: str | bytes, hash: str | bytes) -> bool:
            clock.move(timedelta(seconds=1))
            return super().verify(password, hash)

    hasher = SlowHasher(time_cost=1, memory_cost=8, parallelism=1)
    accounts = Accounts(database, Audit(clock=clock), config=AccessConfig(), clock=clock, passwords=Passwords(hasher))
    accounts.create("hoa", role=Role.READER, facility="LOCAL", by=OPERATOR, password=PASSWORD)
    for _ in range(5):
        with pytest.raises(UnauthenticatedError):
            accounts.authenticate(name, "wrong", address=ADDRESS)
    with database.read() as connection:
        locked_until = connection.scalar(select(login_failure.c.locked_until))
    assert locked_until == to_microseconds(clock.now + timedelta(seconds=30))


def test_failures_of_made_up_names_stay_bounded(
    access: Access, database: Database, clock: MovedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pacs_gateway.access.throttle._MAX_ROWS", 10)
    for n in range(30):
        clock.move(timedelta(seconds=1))
        attempt(access, f"name{n}", "wrong")
    with database.read() as connection:
        assert (connection.scalar(select(func.count()).select_from(login_failure)) or 0) <= 10
    assert len([row for row in trail(database) if row[2] == "login"]) == 1


def test_changing_a_password_ends_every_session_and_needs_the_old_one(access: Access, reader: Account) -> None:
    cookies = [access.sessions.create(reader) for _ in range(2)]
    with pytest.raises(UnauthenticatedError):
        access.accounts.change_password(reader.name, old="wrong", new="another long one", address=ADDRESS)
    with pytest.raises(InputError):
        access.accounts.change_password(reader.name, old=PASSWORD, new=PASSWORD, address=ADDRESS)
    assert all(access.sessions.resolve(cookie) for cookie in cookies)
    access.accounts.change_password(reader.name, old=PASSWORD, new="another long one", address=ADDRESS)
    assert not any(access.sessions.resolve(cookie) for cookie in cookies)


def test_resetting_a_password_ends_locks_and_sessions(access: Access, reader: Account) -> None:
    cookie = access.sessions.create(reader)
    for _ in range(10):
        attempt(access, reader.name, "wrong")
    one_time = access.accounts.reset_password(reader.name, by=OPERATOR)
    assert access.sessions.resolve(cookie) is None
    assert access.accounts.authenticate(reader.name, one_time, address=ADDRESS).must_change


def test_the_last_administrator_stays(access: Access) -> None:
    for name in ("first", "second"):
        access.accounts.create(name, role=Role.ADMINISTRATOR, facility="LOCAL", by=OPERATOR)
    access.accounts.remove("first", by=OPERATOR)
    with pytest.raises(ConflictError):
        access.accounts.remove("second", by=OPERATOR)
    assert [account.name for account in access.accounts.list()] == ["second"]


def test_removing_an_account_ends_its_sessions_and_tokens(access: Access, reader: Account) -> None:
    cookie = access.sessions.create(reader)
    token = access.tokens.add("script", account_name=reader.name, by=OPERATOR)
    access.accounts.remove(reader.name, by=OPERATOR)
    assert access.sessions.resolve(cookie) is None
    assert access.tokens.resolve(token) is None
    with pytest.raises(NotFoundError):
        access.accounts.show(reader.name)


def test_first_start_makes_one_administrator_once(access: Access) -> None:
    def start(_: int) -> str | None:
        return access.accounts.ensure_administrator()

    with ThreadPoolExecutor(4) as pool:
        passwords = [password for password in pool.map(start, range(8)) if password]
    assert len(passwords) == 1
    account = access.accounts.authenticate("admin", passwords[0], address=ADDRESS)
    assert (account.role, account.must_change) == (Role.ADMINISTRATOR, True)


def test_first_start_says_when_the_name_is_taken_by_a_reader(access: Access) -> None:
    access.accounts.create("admin", role=Role.READER, facility="LOCAL", by=OPERATOR)
    with pytest.raises(ConflictError):
        access.accounts.ensure_administrator()


@pytest.fixture
def records(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level(logging.DEBUG):
        yield caplog


def test_nothing_typed_into_the_login_form_is_kept_or_logged(
    access: Access, database: Database, reader: Account, records: pytest.LogCaptureFixture
) -> None:
    canary = "canary-secret-typed"
    for name, password in ((canary, "x"), (reader.name, canary)):
        attempt(access, name, password)
    with pytest.raises(GatewayError):
        access.accounts.show(canary)
    with database.read() as connection:
        failures = connection.execute(select(login_failure)).all()
    assert canary not in f"{trail(database)} {failures} {records.text}"


def test_logins_and_changes_are_on_the_trail(access: Access, database: Database, reader: Account) -> None:
    attempt(access, reader.name, "wrong")
    attempt(access, reader.name, PASSWORD)
    attempt(access, "nobody", PASSWORD)
    access.accounts.reset_password(reader.name, by=OPERATOR)
    access.accounts.remove(reader.name, by=OPERATOR)
    assert trail(database) == [
        ("os:tester", "", "user-add", "hoa (reader, LOCAL)", "success"),
        ("hoa", ADDRESS, "login", "hoa", "failure"),
        ("hoa", ADDRESS, "login", "hoa", "success"),
        ("", ADDRESS, "login", "unknown name", "failure"),
        ("os:tester", "", "user-password", "hoa", "success"),
        ("os:tester", "", "user-remove", "hoa", "success"),
    ]
