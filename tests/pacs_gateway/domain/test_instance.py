from pacs_gateway.domain.instance import FrameKind, FrameTable


def test_frames_of_an_odd_length_come_in_whole_words() -> None:
    table = FrameTable(FrameKind.SWAP, 3, (((100, 27),),), 27)
    assert [table.frame(index) for index in range(3)] == [((100, 28),), ((126, 28),), ((154, 28),)]


def test_frames_of_an_even_length_come_as_they_are() -> None:
    for kind in (FrameKind.RAW, FrameKind.SWAP):
        table = FrameTable(kind, 2, (((100, 28),),), 28)
        assert [table.frame(index) for index in range(2)] == [((100, 28),), ((128, 28),)]
