"""DICOM over TLS: who gets through the handshake, who does not, and what the others notice of it."""

import random
import socket
import ssl
import subprocess
import threading
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from pacs_gateway.access.networks import LOOPBACK, Networks
from pacs_gateway.dimse.config import TlsConfig
from pacs_gateway.dimse.tls import make_context
from pacs_gateway.dimse.wire import Wire
from tests.pacs_gateway.dimse.conftest import CONFIG, Running, Serve, wait_until
from tests.support.authority import Authority, Identity
from tests.support.proxy_header import proxy_header
from tests.support.scripted_peer import CT_IMAGE, ScriptedPeer, associate_rq, echo_rq, p_data, pdu, pdv, store_rq

_DEADLINE_S = 30.0
ELSEWHERE = Networks.parse("192.0.2.0/24")


@dataclass(frozen=True)
class Site:
    """A hospital: its authority, the gateway's certificate, and that of a device."""

    authority: Authority
    gateway: Identity
    ct1: Identity

    @property
    def config(self) -> TlsConfig:
        return TlsConfig(self.gateway.certificate, self.gateway.key, self.authority.certificate)

    def context(self, identity: Identity | None) -> ssl.SSLContext:
        """Return what a device of the hospital calls with."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.load_verify_locations(self.authority.certificate)
        if identity is not None:
            context.load_cert_chain(identity.certificate, identity.key)
        return context


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    authority = Authority(tmp_path_factory.mktemp("pki"))
    return Site(authority, authority.issue("gateway"), authority.issue("ct1"))


@pytest.fixture
def running(serve: Serve, site: Site) -> Running:
    return serve(tls=site.config)


class TlsPeer(ScriptedPeer):
    """A scripted peer that speaks TLS; `before` goes in clear."""

    def __init__(self, port: int, context: ssl.SSLContext, *, before: bytes = b"") -> None:
        super().__init__(port)
        self.send(before)
        self.sock = context.wrap_socket(self.sock)


def echoscu(running: Running, *options: object) -> subprocess.CompletedProcess[bytes]:
    command = ["echoscu", *map(str, options), "-aec", "PACSGW", "127.0.0.1", str(running.tls_port)]
    return subprocess.run(command, capture_output=True, timeout=_DEADLINE_S)


def s_client(running: Running, site: Site, *options: str, says: str = "") -> subprocess.CompletedProcess[str]:
    files = {"-CAfile": site.authority.certificate, "-cert": site.ct1.certificate, "-key": site.ct1.key}
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{running.tls_port}", *options]
    command += [str(part) for pair in files.items() for part in pair]
    return subprocess.run(command, capture_output=True, text=True, timeout=_DEADLINE_S, input=says)


def reasons(running: Running) -> list[str]:
    """Return why callers were refused; the server may be a moment behind its caller."""
    wait_until(lambda: bool(running.devices.rejections))
    return [rejection["reason"] for rejection in running.devices.rejections]


@pytest.mark.peer("dcmtk")
@pytest.mark.parametrize("profile", ["--profile-bcp195", "--profile-bcp195-nd", "--profile-bcp195-ex"])
def test_dcmtk_is_served_under_its_bcp_195_profiles(running: Running, site: Site, profile: str) -> None:
    who = ("+tls", site.ct1.key, site.ct1.certificate, "+cf", site.authority.certificate)
    done = echoscu(running, *who, profile)

    assert done.returncode == 0, done.stderr


@pytest.mark.peer("dcmtk")
@pytest.mark.parametrize("profile", ["--profile-aes", "--profile-null"])
def test_dcmtk_is_refused_under_its_retired_profiles(running: Running, site: Site, profile: str) -> None:
    who = ("+tls", site.ct1.key, site.ct1.certificate, "+cf", site.authority.certificate)

    assert echoscu(running, *who, profile).returncode != 0
    assert reasons(running) == ["no TLS cipher suite in common"]


@pytest.mark.peer("openssl")
@pytest.mark.parametrize(
    ("options", "cipher"),
    [
        (["-tls1_3"], "TLS_AES_256_GCM_SHA384"),
        (["-tls1_2"], "ECDHE-ECDSA-AES256-GCM-SHA384"),
        (["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"], "ECDHE-ECDSA-AES128-GCM-SHA256"),
    ],
)
def test_tls_1_2_and_1_3_are_spoken_without_compression(
    running: Running, site: Site, options: list[str], cipher: str
) -> None:
    done = s_client(running, site, *options)

    assert done.returncode == 0, done.stderr
    assert f"Cipher is {cipher}" in done.stdout
    assert "Compression: NONE" in done.stdout


@pytest.mark.peer("openssl")
@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["-tls1"], "no TLS version in common: 1.2 and 1.3 are spoken here"),
        (["-tls1_1"], "no TLS version in common: 1.2 and 1.3 are spoken here"),
        (["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA256"], "no TLS cipher suite in common"),  # CBC
        (["-tls1_2", "-cipher", "AES128-GCM-SHA256"], "no TLS cipher suite in common"),  # RSA key exchange
        (["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-CCM8"], "no TLS cipher suite in common"),
    ],
)
def test_what_rfc_9325_does_not_recommend_is_refused(
    running: Running, site: Site, options: list[str], reason: str
) -> None:
    # Old versions are off in OpenSSL itself above this security level.
    done = s_client(running, site, *options[:-1], options[-1] + ("@SECLEVEL=0" if len(options) > 1 else ""))

    assert done.returncode != 0
    assert "alert" in done.stderr
    assert reasons(running) == [reason]


@pytest.mark.peer("openssl")
def test_a_renegotiation_is_refused(running: Running, site: Site) -> None:
    done = s_client(running, site, "-tls1_2", says="R\n")

    assert "no renegotiation" in done.stderr


def test_objects_come_in_over_tls_as_they_were_sent(running: Running, site: Site) -> None:
    data = random.Random(2026).randbytes(1 << 20)
    with TlsPeer(running.tls_port, site.context(site.ct1)) as peer:
        peer.associate()
        parts = [pdv(3, 0, data[start : start + 100_000]) for start in range(0, len(data), 100_000)]
        peer.send(p_data(pdv(3, 3, store_rq())), *map(p_data, parts), p_data(pdv(3, 2, b"")))

        assert peer.receive_status()[0] == 0
        peer.send(pdu(5, bytes(4)))
        assert peer.receive_pdu()[:1] == b"\x06"
        # Its own end is announced, so that nobody takes a cut connection for it.
        assert peer.sock.recv(1) == b""
    assert [(one.sop_class_uid, one.data) for one in running.ingest.published] == [(CT_IMAGE, data)]


def test_request_and_first_message_may_come_in_one_record(running: Running, site: Site) -> None:
    with TlsPeer(running.tls_port, site.context(site.ct1)) as peer:
        # What TLS has decrypted already is not seen by a poll.
        peer.send(associate_rq(), p_data(pdv(1, 3, echo_rq())))

        assert peer.receive_pdu()[:1] == b"\x02"
        assert peer.receive_status()[0] == 0


def test_who_shows_no_certificate_of_the_hospital_gets_nowhere(running: Running, site: Site, tmp_path: Path) -> None:
    stranger = Authority(tmp_path, "Another CA").issue("ct1")
    late = site.authority.issue("late", days=-1)
    own = site.authority.issue("own", is_self_signed=True)
    for identity, reason in (
        (None, "no client certificate"),
        (stranger, "client certificate refused: unable to get local issuer certificate"),
        (late, "client certificate refused: certificate has expired"),
        (own, "client certificate refused: self-signed certificate"),
    ):
        running.devices.rejections.clear()
        with suppress(OSError), TlsPeer(running.tls_port, site.context(identity)) as peer:
            # In TLS 1.3 a client hears of it only when it goes on.
            peer.send(associate_rq())
            assert peer.receive_pdu() == b""
        wait_until(lambda: bool(running.devices.rejections))
        assert running.devices.rejections == [{"calling": "", "called": "", "address": "127.0.0.1", "reason": reason}]
    with TlsPeer(running.tls_port, site.context(site.ct1)) as peer:
        peer.associate()


def test_without_an_authority_nobody_is_asked_for_a_certificate(serve: Serve, site: Site) -> None:
    running = serve(tls=TlsConfig(site.gateway.certificate, site.gateway.key))
    with TlsPeer(running.tls_port, site.context(None)) as peer:
        peer.associate()


def test_a_caller_that_mistrusts_our_certificate_is_recorded_as_such(running: Running, tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(Authority(tmp_path, "Another CA").certificate)
    with pytest.raises(ssl.SSLCertVerificationError):
        TlsPeer(running.tls_port, context)

    assert reasons(running) == ["it does not know the authority of this gateway's certificate"]


@pytest.mark.parametrize(
    ("first_bytes", "reason"),
    [(associate_rq(), "no TLS on the TLS port"), (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP on the TLS port")],
)
def test_what_is_not_tls_is_recorded_as_such(running: Running, first_bytes: bytes, reason: str) -> None:
    with ScriptedPeer(running.tls_port) as peer:
        peer.send(first_bytes)

        assert peer.is_closed()
    assert reasons(running) == [reason]


def test_health_checks_of_the_tls_port_are_not_worth_a_word(running: Running, site: Site) -> None:
    for first_bytes in (b"", b"\x16\x03\x01"):
        with ScriptedPeer(running.tls_port) as peer:
            peer.send(first_bytes)
    with TlsPeer(running.tls_port, site.context(site.ct1)):
        pass
    with TlsPeer(running.tls_port, site.context(site.ct1)) as peer:
        peer.associate()

    assert running.devices.rejections == []


def test_a_plain_call_from_elsewhere_is_rejected_like_every_other_and_recorded(serve: Serve, site: Site) -> None:
    here = Networks.parse("127.0.0.1")
    running = serve(tls=site.config, plain_networks=LOOPBACK, trusted_proxies=here)
    rejections = []
    for source, known in (("192.0.2.7", None), ("127.0.0.9", {})):
        running.devices.known = known
        with ScriptedPeer(running.port) as peer:
            peer.send(proxy_header(source), associate_rq())
            rejections.append(peer.receive_pdu())
    assert rejections[0] == rejections[1]
    assert rejections[0][:1] == b"\x03"
    assert reasons(running) == ["called without TLS from outside PACS_DICOM_PLAIN_NETWORKS", ""]

    running.devices.known = None
    with ScriptedPeer(running.port) as peer:
        peer.send(proxy_header("127.0.0.9"))
        peer.associate()
    with TlsPeer(running.tls_port, site.context(site.ct1), before=proxy_header("192.0.2.7")) as peer:
        peer.associate()


def test_behind_a_balancer_the_header_comes_in_clear_before_the_handshake(serve: Serve, site: Site) -> None:
    running = serve(tls=site.config, trusted_proxies=Networks.parse("127.0.0.1"))
    with TlsPeer(running.tls_port, site.context(site.ct1), before=proxy_header("192.0.2.7")) as peer:
        peer.associate()
        peer.send(p_data(pdv(3, 3, store_rq())), p_data(pdv(3, 2, b"data")))

        assert peer.receive_status()[0] == 0
    assert [one.origin.address for one in running.ingest.published] == ["192.0.2.7"]

    with ScriptedPeer(running.tls_port) as peer:
        peer.send(proxy_header("192.0.2.9"), associate_rq())
        assert peer.is_closed()
    wait_until(lambda: bool(running.devices.rejections))
    assert [rejection["address"] for rejection in running.devices.rejections] == ["192.0.2.9"]


@pytest.mark.peer("dcmtk")
def test_fifty_that_connect_without_a_hello_keep_nobody_out(running: Running, site: Site) -> None:
    who = ("+tls", site.ct1.key, site.ct1.certificate, "+cf", site.authority.certificate)
    with ExitStack() as peers:
        for n in range(50):
            peer = peers.enter_context(ScriptedPeer(running.tls_port))
            peer.send(b"\x16\x03\x01\x02\x00\x01"[: n % 6])

        assert echoscu(running, *who).returncode == 0
        assert running.server.n_associations == 0


def test_a_handshake_that_does_not_get_on_is_closed_in_time(serve: Serve, site: Site) -> None:
    running = serve(tls=site.config, artim_s=0.3)
    hello = client_hello(site)
    with ScriptedPeer(running.tls_port) as silent, ScriptedPeer(running.tls_port) as slow:
        slow.send(hello[:-1])
        with TlsPeer(running.tls_port, site.context(site.ct1)) as idle:
            assert silent.is_closed()
            assert slow.is_closed()
            assert idle.is_closed()


def test_a_hello_may_come_byte_by_byte(running: Running, site: Site) -> None:
    hello = client_hello(site)
    with ScriptedPeer(running.tls_port) as peer:
        for byte in hello:
            peer.send(bytes([byte]))

        assert peer.sock.recv(1) == b"\x16"


def test_mutated_hellos_harm_nobody(running: Running, site: Site) -> None:
    hello, rng = client_hello(site), random.Random(2026)
    for _ in range(300):
        mutated = bytearray(hello)
        for _ in range(rng.randrange(1, 6)):
            mutated[rng.randrange(len(mutated))] ^= 1 << rng.randrange(8)
        with ScriptedPeer(running.tls_port) as peer:
            peer.send(bytes(mutated) + rng.randbytes(rng.randrange(50)))
            with suppress(OSError):  # it has been closed already
                peer.sock.shutdown(socket.SHUT_WR)

            assert peer.is_closed()
    with TlsPeer(running.tls_port, site.context(site.ct1)) as peer:
        peer.associate()


def test_an_answer_too_long_for_the_connection_waits_until_the_caller_reads(
    serve: Serve, site: Site, tmp_path: Path
) -> None:
    # A chain of certificates that is longer than what the two ends hold between them.
    chain = tmp_path / "chain.pem"
    chain.write_bytes(site.gateway.certificate.read_bytes() * 150)
    running = serve(tls=TlsConfig(chain, site.gateway.key, site.authority.certificate), send_buffer=4096)
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.settimeout(_DEADLINE_S)
        sock.connect(("127.0.0.1", running.tls_port))
        with site.context(site.ct1).wrap_socket(sock) as secure:
            secure.sendall(associate_rq())

            assert secure.recv(1) == b"\x02"


def test_what_is_sent_arrives_whole_though_its_reader_is_slow(site: Site) -> None:
    data, received = random.Random(2026).randbytes(8 << 20), bytearray()
    with ExitStack() as stack:
        here, there = map(stack.enter_context, socket.socketpair())
        here.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)

        def read() -> None:
            with site.context(site.ct1).wrap_socket(there) as secure:
                while piece := secure.recv(10_000):
                    received.extend(piece)

        reader = threading.Thread(target=read)
        reader.start()
        secure = make_context(site.config, is_server=True).wrap_socket(here, server_side=True)
        wire = Wire(secure, CONFIG)
        for start in range(0, len(data), 1_000_000):
            wire.send(data[start : start + 1_000_000])
        wire.linger(1)
        secure.close()
        reader.join(_DEADLINE_S)
    assert received == data


def test_an_object_that_is_broken_off_without_a_word_is_not_kept(running: Running, site: Site) -> None:
    for last_bytes in (b"", b"\x17\x03\x03\x40", random.Random(2026).randbytes(20_000)):
        running.ingest.n_discarded = 0
        with TlsPeer(running.tls_port, site.context(site.ct1)) as peer:
            peer.associate()
            peer.send(p_data(pdv(3, 3, store_rq())), p_data(pdv(3, 0, b"first")))
            # Below TLS: neither its own end nor what comes before it can be forged by who sits on the line.
            with suppress(OSError):
                socket.socket.send(peer.sock, last_bytes)
        wait_until(lambda: running.ingest.n_discarded == 1)
    assert running.ingest.published == []


def test_after_a_cut_nothing_is_read_but_what_was_sent(site: Site) -> None:
    data = random.Random(2026).randbytes(100_000)
    with ExitStack() as stack:
        here, there = map(stack.enter_context, socket.socketpair())

        def send() -> None:
            with suppress(OSError), site.context(site.ct1).wrap_socket(there) as secure:
                secure.sendall(data)

        sender = threading.Thread(target=send)
        sender.start()
        secure = make_context(site.config, is_server=True).wrap_socket(here, server_side=True)
        received = bytearray(secure.recv(1000))
        secure.shutdown(socket.SHUT_RDWR)
        with suppress(OSError):
            while piece := secure.recv(100_000):
                received += piece
        secure.close()
        sender.join(_DEADLINE_S)
    assert received
    assert data.startswith(received)


def test_an_association_that_is_cut_takes_no_cipher_text_for_data(serve: Serve, site: Site) -> None:
    running = serve(tls=site.config)
    with TlsPeer(running.tls_port, site.context(site.ct1)) as peer:
        peer.associate()
        peer.send(p_data(pdv(3, 3, store_rq())), p_data(pdv(3, 0, b"first")))
        wait_until(lambda: running.ingest.n_begun == 1)
        running.server.stop(grace_s=0)

        running.thread.join(10)
        assert running.ingest.published == []
        assert running.ingest.n_discarded == 1


def client_hello(site: Site) -> bytes:
    """Return the first bytes of a good caller."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with suppress(ssl.SSLWantReadError):
        site.context(site.ct1).wrap_bio(incoming, outgoing).do_handshake()
    return outgoing.read()
