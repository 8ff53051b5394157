"""``pacs-gateway trash``: what was removed is listed and comes back."""

import json
from contextlib import nullcontext
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pacs_gateway.access import Actor, Scope
from pacs_gateway.archive.remove import Target
from pacs_gateway.cli import trash
from pacs_gateway.gateway import Gateway
from tests.support.builders import image, uid
from tests.support.gateways import Clock, open_test_gateway, put

ALL = Scope(None)


def typed(*words: str) -> str:
    result = CliRunner().invoke(trash.app, list(words), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_what_was_removed_is_listed_and_restored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_test_gateway(tmp_path, clock=Clock()) as gateway:
        opened: Gateway = gateway
        monkeypatch.setattr("pacs_gateway.cli.trash.opened_gateway", lambda _: nullcontext(opened))
        assert typed("list") == "the trash is empty\n"
        put(gateway, image())
        gateway.archive.removals.remove(ALL, Target(uid(1)), by=Actor("boss"))
        put(gateway, image())

        (facts,) = json.loads(typed("list", "--json"))
        assert facts["study_uid"] == uid(1)
        assert (facts["by"], facts["instances"], facts["sent_again"]) == ("boss", 1, 1)
        assert (facts["at"], facts["kept_until"]) == ("2026-01-02T08:00:00+00:00", "2026-02-01T08:00:00+00:00")
        assert uid(1) in typed("list")

        assert "1 instances are shown again" in typed("restore", str(facts["id"]))
        assert len(gateway.archive.retrieve.instances(ALL, study_uid=uid(1))) == 1
        assert typed("list") == "the trash is empty\n"
        (restored,) = json.loads(typed("list", "--all", "--json"))
        assert restored["restored_by"].startswith("os:")
