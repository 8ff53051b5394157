import pytest

from pacs_gateway.access import Listening, UnknownDevices, check_exposure
from pacs_gateway.errors import ConfigurationError
from tests.pacs_gateway.access.doubles import NameService

ACCEPT, REJECT = UnknownDevices.ACCEPT, UnknownDevices.REJECT
NAMES = NameService(localhost="127.0.0.1", server="192.0.2.1", **{"0": "0.0.0.0", "127.1": "127.0.0.1"})

BAD = [
    # web without login
    (Listening(web_hosts=("0.0.0.0",)), False, REJECT, True, "PACS_AUTH"),
    (Listening(web_hosts=("::",)), False, REJECT, True, "PACS_AUTH"),
    (Listening(web_hosts=("[::]",)), False, REJECT, True, "PACS_AUTH"),
    (Listening(web_hosts=("",)), False, REJECT, True, "PACS_AUTH"),
    (Listening(web_hosts=("0",)), False, REJECT, True, "PACS_AUTH"),
    (Listening(web_hosts=("::ffff:0.0.0.0",)), False, REJECT, True, "PACS_AUTH"),
    (Listening(web_hosts=("192.0.2.1",)), False, REJECT, True, "PACS_AUTH"),
    (Listening(web_hosts=("server",)), False, REJECT, True, "PACS_AUTH"),
    (Listening(web_hosts=("127.0.0.1", "2001:db8::1")), False, REJECT, True, "PACS_AUTH"),
    (Listening(web_hosts=("127.0.0.1",), trusted_proxies=("10.0.0.0/8",)), False, REJECT, True, "PACS_AUTH"),
    # every device
    (Listening(dicom_hosts=("0.0.0.0",)), True, ACCEPT, True, "PACS_UNKNOWN_DEVICES"),
    (Listening(dicom_hosts=("::1", "::")), True, ACCEPT, True, "PACS_UNKNOWN_DEVICES"),
    (Listening(dicom_hosts=("server",)), True, ACCEPT, True, "PACS_UNKNOWN_DEVICES"),
    (Listening(("127.0.0.1",), trusted_proxies=("10.0.0.1",)), True, ACCEPT, True, "PACS_UNKNOWN_DEVICES"),
    (Listening(("fe80::1%eth0",), ("127.0.0.1",)), True, ACCEPT, True, "PACS_UNKNOWN_DEVICES"),
    # nobody can log in yet
    (Listening(web_hosts=("0.0.0.0",)), True, REJECT, False, "user add"),
    (Listening(web_hosts=("127.0.0.1", "server")), True, REJECT, False, "user add"),
    (Listening(web_hosts=("localhost",), trusted_proxies=("::1",)), True, REJECT, False, "user add"),
    # nobody knows where it would listen
    (Listening(web_hosts=("no.such.name",)), True, REJECT, True, "PACS_WEB_HOST"),
    (Listening(dicom_hosts=("127.0.0.1:104",)), True, REJECT, True, "PACS_DICOM_HOST"),
]

GOOD = [
    (Listening(), False, ACCEPT, False),
    (Listening(("127.0.0.1",), ("127.0.0.1",)), False, ACCEPT, False),
    (Listening(("localhost", "::1"), ("[::1]", "127.1", "127.8.8.8")), False, ACCEPT, False),
    (Listening(("::ffff:127.0.0.1",)), False, ACCEPT, False),
    (Listening(("0.0.0.0",), ("0.0.0.0", "::")), True, REJECT, True),
    (Listening(("::",), ("127.0.0.1",)), False, REJECT, False),
    (Listening(("127.0.0.1",), ("::",)), True, ACCEPT, True),
    (Listening(("0.0.0.0",)), True, REJECT, False),
]


@pytest.mark.parametrize(("listening", "is_auth_on", "unknown_devices", "has_administrator", "says"), BAD)
def test_start_that_would_expose_patient_data_is_refused_with_one_line(
    listening: Listening, is_auth_on: bool, unknown_devices: UnknownDevices, has_administrator: bool, says: str
) -> None:
    with pytest.raises(ConfigurationError, match=says) as caught:
        check_exposure(
            listening,
            is_auth_on=is_auth_on,
            unknown_devices=unknown_devices,
            has_administrator=has_administrator,
            resolve=NAMES,
        )
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("listening", "is_auth_on", "unknown_devices", "has_administrator"), GOOD)
def test_safe_start_goes_on(
    listening: Listening, is_auth_on: bool, unknown_devices: UnknownDevices, has_administrator: bool
) -> None:
    check_exposure(
        listening,
        is_auth_on=is_auth_on,
        unknown_devices=unknown_devices,
        has_administrator=has_administrator,
        resolve=NAMES,
    )


def test_the_resolver_of_this_machine_is_asked() -> None:
    local = Listening(web_hosts=("localhost", "127.1"))
    check_exposure(local, is_auth_on=False, unknown_devices=REJECT, has_administrator=False)
    with pytest.raises(ConfigurationError, match="PACS_AUTH=off"):
        check_exposure(Listening(web_hosts=("0",)), is_auth_on=False, unknown_devices=REJECT, has_administrator=False)
