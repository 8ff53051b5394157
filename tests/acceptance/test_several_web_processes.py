"""Several processes serve one web: whichever answers, it tells the figures of all of them."""

import re
from pathlib import Path

from tests.support.running_gateway import RunningGateway, running_gateway
from tests.support.waiting import wait_until

_N_REQUESTS = 40
_DEADLINE_S = 60.0
_COUNTED = re.compile(r'^pacs_http_requests_total\{method="GET",route="/dicom-web/studies",status="200"\} (\d+)', re.M)


def test_any_of_them_tells_what_all_have_counted_even_one_that_died(tmp_path: Path) -> None:
    settings = {"PACS_AUTH": "off", "PACS_WEB_WORKERS": "2", "PACS_DICOM_WORKERS": "1"}
    with running_gateway(tmp_path, settings) as gateway:
        for _ in range(_N_REQUESTS):
            with gateway.client() as client:
                assert client.get("/dicom-web/studies").is_success
        figures = [_figures(gateway) for _ in range(_N_REQUESTS)]
        gateway.kill_child("web")
        wait_until(lambda: 'process="web 1"' in _figures(gateway), _DEADLINE_S, "its successor")
        after = _figures(gateway)

    assert {_counted(text) for text in [*figures, after]} == {_N_REQUESTS}
    for name in ("web 1", "web 2", "dicom 1", "shipper", "worker"):
        assert f'pacs_process_cpu_seconds_total{{process="{name}"}}' in figures[0]


def _figures(gateway: RunningGateway) -> str:
    with gateway.client() as client:
        return client.get("/metrics").raise_for_status().text


def _counted(figures: str) -> int:
    found = _COUNTED.search(figures)
    assert found
    return int(found[1])
