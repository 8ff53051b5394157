"""What the gateway is measured by: each benchmark starts both sides itself and prints one table of ratios."""
