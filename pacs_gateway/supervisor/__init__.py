"""The supervisor of one gateway's processes: binds the ports, forks the children, keeps them running."""

from pacs_gateway.supervisor.child import Program
from pacs_gateway.supervisor.sockets import bind
from pacs_gateway.supervisor.supervisor import Supervisor

__all__ = ["Program", "Supervisor", "bind"]
