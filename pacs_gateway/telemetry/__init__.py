"""Logs and metrics: structured, without patient data."""
