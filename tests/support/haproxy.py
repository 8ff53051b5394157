"""A real HAProxy before gateways, as a site would set it up: DICOM with the PROXY protocol, the web with TLS.

It calls the gateways from an address of its own, which is the one they are to trust; tests beside it may then go on
talking to the gateways directly.
"""

import re
import socket
import ssl
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.support.running_gateway import RunningGateway
from tests.support.waiting import wait_until

PROGRAM = "/usr/sbin/haproxy"
"""Where Debian puts it; not on everybody's path."""
ADDRESS = "127.0.0.3"
"""Where its own connections come from."""
_DEADLINE_S = 30.0
_CONFIGURATION = """\
global
    log stderr format raw local0
    stats socket fd@{admin_fd} level admin
    ssl-default-bind-options ssl-min-ver TLSv1.2
defaults
    log global
    option dontlognull
    timeout connect 3s
    timeout client 10m
    timeout server 10m
    retries 3
    option redispatch
    default-server check inter 200ms fall 2 rise 2 source {address} on-marked-down shutdown-sessions

frontend dicom
    mode tcp
    bind fd@{dicom_fd}
    default_backend dicom_nodes
backend dicom_nodes
    mode tcp
    balance leastconn
{dicom_servers}

frontend web
    mode http
    bind fd@{web_fd} ssl crt {certificate}
    http-request deny if {{ path_beg /internal/ }}
    option forwardfor
    http-request set-header X-Forwarded-Proto https
    http-request set-header X-Forwarded-Host %[req.hdr(Host)]
    default_backend web_nodes
backend web_nodes
    mode http
    balance roundrobin
    option httpchk
    http-check send meth GET uri /readyz ver HTTP/1.1 hdr Host localhost
{web_servers}
"""


@dataclass(frozen=True, slots=True)
class Balancer:
    """A running HAProxy."""

    dicom_port: int
    web_port: int
    certificate: Path
    admin: tuple[str, int]
    """Where it takes orders."""

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.web_port}"

    def client(self, token: str = "", *, address: str = "127.0.0.1") -> httpx.Client:
        """Return a client that calls from an address of this machine, with a bearer token if one is given."""
        tls = ssl.create_default_context(cafile=self.certificate)
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        transport = httpx.HTTPTransport(verify=tls, local_address=address)
        return httpx.Client(base_url=self.url, headers=headers, transport=transport, timeout=60)

    def follow(self, number: int, gateway: RunningGateway) -> None:
        """Send what is for the `number`-th gateway, from 1, to the ports it has now."""
        for backend, port in (("dicom_nodes", gateway.dicom_port), ("web_nodes", gateway.web_port)):
            answer = self._ask(f"set server {backend}/node{number} addr 127.0.0.1 port {port}")
            assert "chang" in answer, answer  # or there was no need to change it

    def n_up(self) -> int:
        """Return how many servers of DICOM and web together its checks find alive."""
        rows = self._ask("show stat").splitlines()
        return sum(1 for row in rows if re.match(r"(dicom|web)_nodes,node\d+,.*,UP,", row))

    def _ask(self, command: str) -> str:
        with socket.create_connection(self.admin, timeout=_DEADLINE_S) as connection:
            connection.sendall(command.encode() + b"\n")
            return b"".join(iter(lambda: connection.recv(65536), b"")).decode()


@contextmanager
def balanced(folder: Path, gateways: Sequence[RunningGateway]) -> Iterator[Balancer]:
    """Run HAProxy before `gateways`; it is gone after the block."""
    folder.mkdir(parents=True, exist_ok=True)
    certificate = _certificate(folder)
    with ExitStack() as stack:
        # Bound here and inherited, so that nobody can take the ports in between.
        dicom, web, admin = (stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(3))
        configuration = folder / "haproxy.cfg"
        configuration.write_text(
            _CONFIGURATION.format(
                address=ADDRESS,
                certificate=certificate,
                admin_fd=admin.fileno(),
                dicom_fd=dicom.fileno(),
                web_fd=web.fileno(),
                dicom_servers=_servers([gateway.dicom_port for gateway in gateways], "send-proxy-v2"),
                web_servers=_servers([gateway.web_port for gateway in gateways]),
            ),
            encoding="utf-8",
        )
        balancer = Balancer(dicom.getsockname()[1], web.getsockname()[1], certificate, admin.getsockname())
        with (folder / "haproxy.log").open("ab") as log:
            process = subprocess.Popen(
                [PROGRAM, "-db", "-f", configuration],
                stdout=log,
                stderr=log,
                pass_fds=[dicom.fileno(), web.fileno(), admin.fileno()],
            )
    try:
        with balancer.client() as client:
            wait_until(lambda: _is_ready(client, process, folder), _DEADLINE_S, "HAProxy to serve")
        yield balancer
    finally:
        process.kill()
        process.wait(_DEADLINE_S)


def _servers(ports: Sequence[int], options: str = "") -> str:
    return "\n".join(f"    server node{n} 127.0.0.1:{port} {options}" for n, port in enumerate(ports, 1))


def _is_ready(client: httpx.Client, process: "subprocess.Popen[bytes]", folder: Path) -> bool:
    assert process.poll() is None, (folder / "haproxy.log").read_text(encoding="utf-8")[-2000:]
    try:
        return client.get("/readyz").status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


def _certificate(folder: Path) -> Path:
    """Return a file with a key and its own certificate for this machine's address."""
    key, certificate, both = folder / "key.pem", folder / "certificate.pem", folder / "both.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"]
    command += ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True, timeout=_DEADLINE_S)
    both.write_bytes(certificate.read_bytes() + key.read_bytes())
    return both
