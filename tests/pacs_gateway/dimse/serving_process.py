"""A DICOM server as a process of its own: prints its port and serves until SIGTERM."""

import signal
import socket
import sys

from pacs_gateway.dimse.config import DimseConfig
from pacs_gateway.dimse.server import DicomServer
from tests.pacs_gateway.dimse.doubles import MemoryDevices, MemoryIngest


def main() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        server = DicomServer(DimseConfig(ae_titles=("PACSGW",)), MemoryIngest(), MemoryDevices(), [listener])
        signal.signal(signal.SIGTERM, lambda *_: server.stop())
        sys.stdout.write(f"{listener.getsockname()[1]}\n")
        sys.stdout.flush()
        server.serve()


if __name__ == "__main__":
    main()
