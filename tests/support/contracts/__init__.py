"""Suites that every backend of a contract passes."""

import pytest

pytest.register_assert_rewrite("tests.support.contracts.object_store")
