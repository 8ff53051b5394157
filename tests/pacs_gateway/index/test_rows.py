"""Rows and counts after any sequence of arrivals, in any batching, from any number of writers."""

import random
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, func, select

from pacs_gateway.database.engine import Database
from pacs_gateway.database.schema.archive import instance, patient, patient_word, series, study, vocabulary
from pacs_gateway.domain.instance import InstanceRecord
from pacs_gateway.domain.levels import Level
from pacs_gateway.domain.query import Query
from pacs_gateway.index.rows import Outcome
from pacs_gateway.index.search import find
from pacs_gateway.index.writer import BatchHooks, IndexWriter
from tests.pacs_gateway.index.records import KEY_OBJECT, NODE, SR, arrival, record, write, write_arrivals
from tests.support.gateways import migrated_database, open_database


def only_study(database: Database) -> dict[str, object]:
    with database.read() as connection:
        return dict(connection.execute(select(study)).mappings().one())


def count(database: Database, table: object) -> int:
    with database.read() as connection:
        return int(connection.execute(select(func.count()).select_from(table)).scalar_one())  # type: ignore[arg-type]


def assert_counts(database: Database) -> None:
    """The counts kept equal counting anew."""
    current = (instance.c.series_key == series.c.id, instance.c.state == "current")
    with database.read() as connection:
        for row in connection.execute(select(series)).mappings():
            counted = select(func.count()).select_from(instance).where(instance.c.series_key == row["id"], current[1])
            assert row["n_instances"] == connection.execute(counted).scalar_one()
        for row in connection.execute(select(study)).mappings():
            of_study = select(instance, series.c.modality).join(series, current[0])
            of_study = of_study.where(series.c.study_key == row["id"], current[1])
            members = connection.execute(of_study).mappings().all()
            assert row["n_instances"] == len(members)
            assert row["n_series"] == len({member["series_key"] for member in members})
            for column, values in (
                ("modalities", {member["modality"] for member in members}),
                ("sop_classes", {member["sop_class_uid"] for member in members}),
            ):
                assert set(row[column].split("\\")) - {""} == values - {""}
        of_uid = select(func.count()).where(instance.c.state == "current").group_by(instance.c.sop_uid)
        assert {n for (n,) in connection.execute(of_uid)} <= {1}


def test_outcomes_tell_new_known_and_contradicting(database: Database) -> None:
    result = write(database, record(), record(), record(content="other"), record(instance=2))
    assert result.outcomes == (Outcome.STORED, Outcome.DUPLICATE, Outcome.PENDING, Outcome.STORED)
    again = write(database, record(), record(content="other"), record(content="third"))
    assert again.outcomes == (Outcome.DUPLICATE, Outcome.DUPLICATE, Outcome.PENDING)
    assert_counts(database)


def test_an_arrival_that_is_written_twice_keeps_its_bytes(database: Database) -> None:
    mine, later = arrival(record(), "p/mine.dcm"), arrival(record(), "p/later.dcm")
    assert write_arrivals(database, [mine]).superfluous == ()
    assert write_arrivals(database, [mine]).superfluous == ()
    assert write_arrivals(database, [mine, later]).superfluous == ("p/later.dcm",)


def place(database: Database) -> tuple[str | None, str | None, int | None]:
    with database.read() as connection:
        columns = (instance.c.spool_entry, instance.c.spool_node, instance.c.archived_at)
        entry, node, archived_at = connection.execute(select(*columns)).one()
    return entry, node, archived_at


OTHER_NODE = "00000000000000bb"


def test_a_row_names_the_bytes_of_whoever_acknowledged_last(database: Database) -> None:
    assert write_arrivals(database, [arrival(record(), "p/mine.dcm")]).superfluous == ()
    again = [arrival(record(), f"q/{n}.dcm", node=OTHER_NODE) for n in (1, 2)]
    assert write_arrivals(database, again).superfluous == ("q/2.dcm",)
    assert place(database) == ("q/1.dcm", OTHER_NODE, None)
    assert write_arrivals(database, again[:1]).superfluous == ()


@pytest.mark.parametrize("node", [NODE, OTHER_NODE])
def test_what_is_archived_already_needs_no_entry(database: Database, node: str) -> None:
    archived = arrival(record(), "q/archived.dcm", node=node, archived_at=7)
    assert write_arrivals(database, [archived]).superfluous == ("q/archived.dcm",)
    assert place(database) == (None, None, 7)
    assert write_arrivals(database, [archived]).superfluous == ("q/archived.dcm",)
    assert write_arrivals(database, [arrival(record(), "p/mine.dcm")]).superfluous == ("p/mine.dcm",)
    assert place(database) == (None, None, 7)


@pytest.mark.parametrize("node", [NODE, OTHER_NODE])
def test_what_is_archived_now_takes_the_place_of_what_waits(database: Database, node: str) -> None:
    write_arrivals(database, [arrival(record(), "p/mine.dcm")])
    archived = arrival(record(), "q/archived.dcm", node=node, archived_at=7)
    assert write_arrivals(database, [archived]).superfluous == ("q/archived.dcm",)
    assert place(database) == (None, None, 7)
    assert_counts(database)


def test_one_uid_in_two_series_is_kept_twice_and_shown_once(database: Database) -> None:
    first, second = record(series=1), record(series=2)
    clone = record(series=2, content="moved")
    object.__setattr__(clone, "sop_instance_uid", first.sop_instance_uid)
    assert write(database, first, clone, second).outcomes == (Outcome.STORED, Outcome.PENDING, Outcome.STORED)
    assert_counts(database)
    assert only_study(database)["n_series"] == 2


def test_a_report_never_blanks_or_defines_a_study(database: Database) -> None:
    write(database, record(attributes={"StudyDescription": "CT bụng", "StudyDate": "20260102"}))
    write(database, record(series=2, sop_class_uid=SR, attributes={"StudyDate": "20270101", "Modality": "SR"}))
    write(database, record(series=3, sop_class_uid=KEY_OBJECT, attributes={"StudyDescription": "", "Modality": "KO"}))
    kept = only_study(database)
    assert (kept["study_description"], kept["study_date"], kept["is_flagged"]) == ("CT bụng", "20260102", False)
    assert kept["modalities"] == "\\CT\\KO\\SR\\"


def test_the_first_image_replaces_what_a_report_said(database: Database) -> None:
    write(database, record(series=2, sop_class_uid=SR, attributes={"StudyDate": "20270101", "StudyID": "R"}))
    assert only_study(database)["study_date"] == "20270101"
    write(database, record(attributes={"StudyDate": "20260102"}))
    kept = only_study(database)
    assert (kept["study_date"], kept["study_id"], kept["is_flagged"]) == ("20260102", "R", False)


def test_later_images_fill_blanks_and_flag_contradictions(database: Database) -> None:
    write(database, record(attributes={"StudyDate": "20260102"}))
    write(database, record(instance=2, attributes={"StudyDate": "20260102", "AccessionNumber": "A1"}))
    assert only_study(database)["is_flagged"] is False
    write(database, record(instance=3, attributes={"StudyDate": "20260103", "AccessionNumber": "A1"}))
    kept = only_study(database)
    assert (kept["study_date"], kept["accession_number"], kept["is_flagged"]) == ("20260102", "A1", True)


def test_images_of_one_batch_that_contradict_each_other_are_flagged(database: Database) -> None:
    write(
        database, record(attributes={"AccessionNumber": "A1"}), record(instance=2, attributes={"AccessionNumber": "B"})
    )
    assert only_study(database)["is_flagged"] is True


def test_another_patient_flags_the_study_and_moves_nothing(database: Database) -> None:
    write(database, record())
    write(database, record(instance=2, attributes={"PatientID": "BN2", "PatientName": "Trần^Thị^An"}))
    kept = only_study(database)
    assert kept["is_flagged"] is True
    assert count(database, study) == 1
    with database.read() as connection:
        owner = select(patient.c.patient_id).join(study, study.c.patient_key == patient.c.id)
        assert connection.execute(owner).scalar_one() == "BN1"


def test_patients_are_told_apart_by_issuer_and_not_by_placeholders(database: Database) -> None:
    of_device = record(8)
    write(
        database,
        record(1),
        record(2),
        record(3, facility="HUE"),
        record(4, attributes={"IssuerOfPatientID": "VN"}),
        record(5, attributes={"PatientID": ""}),
        record(6, attributes={"PatientID": "unknown"}),
        record(7, attributes={"PatientID": "000"}),
        replace(of_device, origin=replace(of_device.origin, issuer="BV1")),
    )
    with database.read() as connection:
        keys = [key for (key,) in connection.execute(select(study.c.patient_key).order_by(study.c.id))]
    assert keys[0] == keys[1]
    assert len(set(keys)) == 7


def test_accents_complete_a_name_and_it_is_found_by_either(database: Database) -> None:
    write(database, record(attributes={"PatientName": "NGUYEN^VAN^DUC"}))
    write(database, record(2, attributes={"PatientName": "Nguyễn^Văn^Đức"}))
    write(database, record(3, attributes={"PatientName": "Nguyen^Van^Duc"}))
    with database.read() as connection:
        assert connection.execute(select(patient.c.patient_name)).scalar_one() == "Nguyễn^Văn^Đức"
        page = find(connection, Query.build(Level.STUDY, {"PatientName": "nguyen van duc"}), facilities=None)
    assert len(page.matches) == 3


def test_a_name_that_comes_later_makes_all_studies_findable(database: Database) -> None:
    write(database, record(1, attributes={"PatientName": ""}), record(2, attributes={"PatientName": ""}))
    write(database, record(2, instance=2, attributes={"PatientName": "Trần^An"}))
    with database.read() as connection:
        page = find(connection, Query.build(Level.STUDY, {"PatientName": "tr*"}), facilities=None)
    assert len(page.matches) == 2


@st.composite
def arrivals(draw: st.DrawFn) -> InstanceRecord:
    sop_class, modality = draw(st.sampled_from([("1.2.840.10008.5.1.4.1.1.2", "CT"), (SR, "SR")]))
    series_number = draw(st.integers(1, 2)) * (10 if modality == "SR" else 1)
    attributes = {
        "Modality": modality,
        "StudyDate": draw(st.sampled_from(["", "20260101", "20260102"])),
        "AccessionNumber": draw(st.sampled_from(["", "A"])),
        "PatientID": draw(st.sampled_from(["", "BN1"])),
        "PatientName": draw(st.sampled_from(["", "Tran^An", "Trần^An"])),
        "SeriesDescription": draw(st.sampled_from(["", "axial"])),
    }
    return record(
        draw(st.integers(1, 2)),
        series_number,
        draw(st.integers(1, 3)),
        content=draw(st.sampled_from(["", "other"])),
        sop_class_uid=sop_class,
        attributes=attributes,
    )


def _without(row: Mapping[Any, Any], dropped: set[str]) -> dict[str, object]:
    return {str(name): value for name, value in row.items() if name not in dropped}


def picture(database: Database, batches: Sequence[Sequence[InstanceRecord]]) -> dict[str, list[dict[str, object]]]:
    """Write the batches; return the rows without keys, which depend on the order in which rows were made."""
    for batch in batches:
        if batch:
            write(database, *batch)
            assert_counts(database)
    dropped = {"id", "patient_key", "study_key", "series_key", "revision"}
    with database.read() as connection:
        return {
            table.name: sorted(
                (
                    {k: v for k, v in row.items() if k not in dropped}
                    for row in connection.execute(select(table)).mappings()
                ),
                key=str,
            )
            for table in (patient, study, series, instance)
        }


@pytest.fixture(scope="module")
def pair(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Database, Database]]:
    """One of the databases, and SQLite to compare with."""
    one, other = open_database(module_database_url), migrated_database(tmp_path_factory.mktemp("pair"))
    yield one, other
    one.close()
    other.close()


def emptied(database: Database) -> Database:
    def empty(connection: Connection) -> None:
        for table in (instance, series, patient_word, vocabulary, study, patient):
            connection.execute(table.delete())

    database.transact(empty)
    return database


@settings(max_examples=15, deadline=None)
@given(records=st.lists(arrivals(), min_size=1, max_size=8), data=st.data())
def test_any_batching_leaves_the_same_rows_and_true_counts(
    pair: tuple[Database, Database], records: list[InstanceRecord], data: st.DataObject
) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(records)), max_size=3)))
    batches = [records[a:b] for a, b in zip([0, *cuts], [*cuts, len(records)], strict=True)]
    one, other = (emptied(database) for database in pair)
    assert picture(one, batches) == picture(other, [[record] for record in records])


N_ROUNDS, N_SENDERS = 3, 64


@pytest.mark.parametrize("n_writers", [1, 4])
def test_many_senders_of_one_new_study_make_each_row_once(database_url: str, n_writers: int) -> None:
    databases = [open_database(database_url) for _ in range(n_writers)]
    hooks = BatchHooks(lambda _connection, _result: None, lambda _entries: None)
    writers = [IndexWriter(database, hooks, node=f"node-{n}") for n, database in enumerate(databases)]

    def send(round_: int, barrier: threading.Barrier, n: int) -> Outcome:
        sent = record(round_, instance=n // 2 + 1)
        barrier.wait(30)
        return writers[n % n_writers].submit(sent, f"p/{round_}-{n}.dcm", urgent=True).result(60)

    try:
        with ThreadPoolExecutor(N_SENDERS) as pool:
            for n in range(1, N_ROUNDS + 1):
                outcomes = list(pool.map(partial(send, n, threading.Barrier(N_SENDERS)), range(N_SENDERS)))
                assert outcomes.count(Outcome.STORED) == outcomes.count(Outcome.DUPLICATE) == N_SENDERS // 2
        assert [writer.unindexed for writer in writers] == [[]] * n_writers
        tables = [count(databases[0], table) for table in (patient, study, series, instance)]
        assert tables == [1, N_ROUNDS, N_ROUNDS, N_ROUNDS * N_SENDERS // 2]
        assert_counts(databases[0])
    finally:
        for writer in writers:
            writer.close()
        for database in databases:
            database.close()


def test_nodes_that_send_the_same_studies_in_any_order_make_each_row_once(database_url: str) -> None:
    databases = [open_database(database_url) for _ in range(4)]
    names = ["Trần^An", "Lê^Bình", "Phạm^Chi", "Võ^Dung"]
    records = [
        record(study, series, instance, attributes={"PatientID": f"BN{study % 3}", "PatientName": names[study % 4]})
        for study in range(1, 7)
        for series in (1, 2)
        for instance in (1, 2)
    ]

    def send(node: int) -> list[Outcome]:
        shuffled = random.Random(node).sample(records, len(records))
        arrivals = [arrival(one, f"{node}/{one.digest}.dcm") for one in shuffled]
        batches = [arrivals[start : start + 5] for start in range(0, len(arrivals), 5)]
        return [outcome for batch in batches for outcome in write_arrivals(databases[node], batch).outcomes]

    try:
        with ThreadPoolExecutor(4) as pool:
            outcomes = [outcome for node in pool.map(send, range(4)) for outcome in node]
        assert outcomes.count(Outcome.STORED) == len(records)
        assert outcomes.count(Outcome.DUPLICATE) == 3 * len(records)
        assert_counts(databases[0])
    finally:
        for database in databases:
            database.close()


def test_two_contents_of_one_uid_from_many_senders_are_two_rows(database_url: str) -> None:
    databases = [open_database(database_url) for _ in range(4)]

    def send(n: int) -> Outcome:
        sent = arrival(record(content="other" if n % 2 else ""), f"p/{n}.dcm")
        return write_arrivals(databases[n % 4], [sent]).outcomes[0]

    try:
        with ThreadPoolExecutor(8) as pool:
            outcomes = Counter(pool.map(send, range(200)))
        assert outcomes == {Outcome.STORED: 1, Outcome.PENDING: 1, Outcome.DUPLICATE: 198}
        assert count(databases[0], instance) == 2
        assert_counts(databases[0])
    finally:
        for database in databases:
            database.close()
