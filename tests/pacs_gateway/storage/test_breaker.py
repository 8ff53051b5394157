import pytest

from pacs_gateway.errors import UnavailableError
from pacs_gateway.storage.breaker import Breaker


class Seconds:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Seconds:
    return Seconds()


@pytest.fixture
def breaker(clock: Seconds) -> Breaker:
    return Breaker("the server", clock=clock)


def fail_for(breaker: Breaker, clock: Seconds, seconds: float) -> None:
    for _ in range(5):
        breaker.failed()
        clock.now += seconds / 4
    breaker.failed()


def is_admitted(breaker: Breaker) -> bool:
    try:
        breaker.admit()
    except UnavailableError:
        return False
    return True


def test_a_short_trouble_of_many_threads_does_not_open_it(breaker: Breaker, clock: Seconds) -> None:
    for _ in range(100):
        breaker.failed()
    clock.now += 2.9
    breaker.failed()
    assert is_admitted(breaker)


def test_a_few_failures_far_apart_do_not_open_it(breaker: Breaker, clock: Seconds) -> None:
    for _ in range(4):
        breaker.failed()
        clock.now += 60
    assert is_admitted(breaker)


def test_failures_between_answers_do_not_open_it(breaker: Breaker, clock: Seconds) -> None:
    for _ in range(100):
        breaker.failed()
        clock.now += 1
        breaker.succeeded()
    assert is_admitted(breaker)


def test_open_it_says_since_when_and_lets_one_in_two_seconds_try(
    breaker: Breaker, clock: Seconds, caplog: pytest.LogCaptureFixture
) -> None:
    fail_for(breaker, clock, 4)
    with pytest.raises(UnavailableError, match="the server has not answered for 5 s"):
        breaker.admit()
    clock.now += 2
    assert [is_admitted(breaker) for _ in range(3)] == [True, False, False]
    breaker.failed()
    clock.now += 1.9
    assert not is_admitted(breaker)
    clock.now += 0.1
    assert is_admitted(breaker)
    assert caplog.text.count("has not answered") == 1


def test_one_answer_closes_it(breaker: Breaker, clock: Seconds, caplog: pytest.LogCaptureFixture) -> None:
    fail_for(breaker, clock, 4)
    clock.now += 2
    breaker.admit()
    breaker.succeeded()
    assert all(is_admitted(breaker) for _ in range(10))
    assert "answers again" in caplog.text


def test_a_long_outage_is_said_once_a_minute(
    breaker: Breaker, clock: Seconds, caplog: pytest.LogCaptureFixture
) -> None:
    fail_for(breaker, clock, 4)
    for _ in range(300):
        clock.now += 2
        breaker.failed()
    assert 10 <= caplog.text.count("has not answered") <= 12
