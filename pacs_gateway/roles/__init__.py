"""The headless processes of a running gateway, and which of them a node consists of."""
