"""A registered device as somebody to call: where, as whom, and behind which certificate."""

from pacs_gateway.access.certificates import SUBJECT
from pacs_gateway.access.networks import parse_address
from pacs_gateway.dimse.config import TlsConfig
from pacs_gateway.dimse.ports import Destination
from pacs_gateway.dimse.scu.requestor import Remote
from pacs_gateway.dimse.tls import make_context
from pacs_gateway.errors import ConfigurationError, InputError, NotFoundError


def remote_of(destination: Destination, *, calling: str, tls: TlsConfig | None) -> Remote:
    """Return how to call `destination`.

    Parameters
    ----------
    calling
        The title of ours under which it is called.
    tls
        Our own certificate and the authorities we believe; files that have changed are read again.

    Raises
    ------
    NotFoundError
        It is registered without HOST PORT.
    ConfigurationError
        It is called over TLS, for which the gateway is not set up, or nothing would say whether it is the device that
        answers.
    """
    if destination.port is None:
        raise NotFoundError("the device has no HOST PORT")
    if not destination.is_tls:
        return Remote(destination.ae_title, destination.host, destination.port, calling)
    if tls is None:
        raise ConfigurationError(f"{destination.ae_title} is called over TLS: set PACS_DICOM_TLS_CERT and _KEY")
    # A subject that no authority has vouched for is what anybody may call themselves.
    certificates = tuple(one for one in destination.certificates if tls.ca or not one.startswith(SUBJECT))
    if tls.ca is None and not certificates:
        message = "anybody could answer: set PACS_DICOM_TLS_CA, or bind the fingerprint of its certificate"
        raise ConfigurationError(f"{destination.ae_title} is called over TLS, and {message}")
    context = make_context(tls, is_server=False)
    # Certificates of devices seldom hold an address or a short name, and one that is bound says more than any name.
    context.check_hostname = not certificates and _is_domain_name(destination.host)
    return Remote(
        destination.ae_title,
        destination.host,
        destination.port,
        calling,
        tls=context,
        certificates=certificates,
    )


def _is_domain_name(host: str) -> bool:
    try:
        parse_address(host)
    except InputError:
        return "." in host
    return False
