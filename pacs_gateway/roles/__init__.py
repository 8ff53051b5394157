"""The headless processes of a running gateway, started by the supervisor: ``python -m pacs_gateway.roles NAME``."""
