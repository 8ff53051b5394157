"""One site for the browser: the viewer's files from a gateway that holds nothing, DICOMweb from the side measured.

Both sides are behind the same proxy, so that the browser runs the same viewer, from one origin, on either.
"""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.process import Program, find_program
from benchmarks.receivers import HOST, Receiver
from tests.support.ports import free_port

_START_S = 30.0
_CONFIGURATION = """\
defaults
    mode http
    timeout connect 10s
    timeout client 10m
    timeout server 10m
frontend site
    bind {host}:{port}
    use_backend measured if {{ path_beg /dicom-web/ }}
    default_backend viewer
backend measured
    http-request set-query '%[query,regsub("%2C",",",g)]' if {{ query -m found }}
    server measured {host}:{measured_port}
backend viewer
    server viewer {host}:{viewer_port}
"""


@contextmanager
def site(folder: Path, viewer: Receiver, measured: Receiver) -> Iterator[str]:
    """Run the proxy before a gateway that has the viewer and the side that has the study; yield its address."""
    port = free_port()
    folder.mkdir(parents=True, exist_ok=True)
    configuration = folder / "haproxy.cfg"
    ports = {"port": port, "measured_port": measured.web_port, "viewer_port": viewer.web_port}
    configuration.write_text(_CONFIGURATION.format(host=HOST, **ports))
    with Program((find_program("haproxy", "/usr/sbin"), "-db", "-f", configuration), folder, {}) as proxy:
        proxy.wait_for("ready", lambda: _listens(port), _START_S)
        yield f"http://{HOST}:{port}"


def _listens(port: int) -> bool:
    with socket.socket() as connection:
        return connection.connect_ex((HOST, port)) == 0
