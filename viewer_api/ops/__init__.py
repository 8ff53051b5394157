"""What operators and orchestrators ask: alive, ready, and figures."""
