"""The index that benchmarks read: whole, the same each time, and found by the searches of the gateway."""

from itertools import islice
from pathlib import Path

from sqlalchemy import func, inspect, select

from benchmarks.synthetic_index import HOSPITAL, Study, make_studies, up_to_instances, write_index
from pacs_gateway.access.policy import Scope
from pacs_gateway.archive.search import Search
from pacs_gateway.database.engine import Database
from pacs_gateway.database.schema.archive import instance, series, study
from pacs_gateway.domain.levels import Level
from pacs_gateway.domain.names import fold
from pacs_gateway.domain.query import Query
from tests.support.gateways import migrated_database

_N_STUDIES = 60


def studies() -> list[Study]:
    return list(islice(make_studies(HOSPITAL, seed=7), _N_STUDIES))


def test_the_same_seed_makes_the_same_studies() -> None:
    assert studies() == studies()
    assert studies() != list(islice(make_studies(HOSPITAL, seed=8), _N_STUDIES))


def test_studies_are_taken_until_there_are_as_many_instances(tmp_path: Path) -> None:
    taken = list(up_to_instances(make_studies(), 1000))

    n_instances = [sum(one.examination.n_instances) for one in taken]
    assert sum(n_instances[:-1]) < 1000 <= sum(n_instances)


def test_rows_agree_with_each_other_and_the_schema_is_whole_again(tmp_path: Path) -> None:
    database = migrated_database(tmp_path)
    before = indexes(database)

    n_written = write_index(database, studies())

    assert indexes(database) == before
    with database.read() as connection:
        n_rows = connection.execute(select(func.count()).select_from(instance)).scalar_one()
        totals = [connection.execute(select(func.sum(table.c.n_instances))).scalar_one() for table in (series, study)]
    assert {n_rows, *totals} == {n_written}
    assert database.is_intact()
    database.close()


def test_people_are_found_by_name_and_studies_by_number(tmp_path: Path) -> None:
    database = migrated_database(tmp_path)
    written = studies()
    write_index(database, written)
    search, (one, *_) = Search(database), written

    by_name = Query.build(Level.STUDY, {"PatientName": fold(one.person.name)}, case_sensitive=True)
    by_number = Query.build(Level.STUDY, {"AccessionNumber": one.accession_number}, case_sensitive=True)

    for query in (by_name, by_number):
        found = {match.values["StudyInstanceUID"] for match in search.find(query, Scope(None)).matches}
        assert one.uid in found
    database.close()


def indexes(database: Database) -> set[str]:
    with database.read() as connection:
        looking = inspect(connection)
        return {str(index["name"]) for table in looking.get_table_names() for index in looking.get_indexes(table)}
