import pytest

from pacs_gateway.imaging.thumbnail import middle_frame


@pytest.mark.parametrize(("n_frames", "index"), [(1, 0), (2, 0), (3, 1), (30, 14), (31, 15)])
def test_the_middle_frame_stands_for_all(n_frames: int, index: int) -> None:
    assert middle_frame(n_frames) == index
