from pacs_gateway.gateway import Gateway
from tests.support.builders import image
from tests.support.gateways import Clock, put


def test_receiving_is_said_for_a_second(gateway: Gateway, clock: Clock) -> None:
    assert not gateway.archive.is_receiving()
    put(gateway, image())
    clock.move(0.5)
    assert gateway.archive.is_receiving()
    clock.move(0.6)
    assert not gateway.archive.is_receiving()
