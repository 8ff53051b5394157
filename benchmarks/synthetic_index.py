"""An index as years of work leave it, written in bulk: invented people and studies, the same for the same seed.

There are no objects behind it: it is for what reads rows, and for starting beside very many of them. The database must
be empty and at this version's schema; its keys are given out here, so nothing can be received into it afterwards where
a sequence gives them out (PostgreSQL).
"""

import hashlib
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from itertools import accumulate
from pathlib import Path
from random import Random
from types import MappingProxyType
from unicodedata import normalize

from sqlalchemy import Connection, Table

from pacs_gateway.database.engine import Database
from pacs_gateway.database.schema.archive import (
    instance,
    patient,
    patient_word,
    series,
    series_derived,
    study,
    vocabulary,
    word_ending,
)
from pacs_gateway.domain.instance import FrameKind, FrameTable, Method
from pacs_gateway.domain.names import accented_words, endings, fold, marks, words
from pacs_gateway.index import frame_blob

_TABLES = (patient, study, patient_word, vocabulary, word_ending, series, series_derived, instance)
EDITION = 2
"""Changes whenever the same arguments make something else: what is kept from before is made anew."""
_ROOT = "1.2.826.0.1.3680043.10.1471"
_CT, _MR, _DX, _US, _MG, _PT = (
    f"1.2.840.10008.5.1.4.1.1.{number}" for number in ("2", "4", "1.1", "6.1", "1.2", "128")
)
_EXPLICIT = "1.2.840.10008.1.2.1"
_FIRST_DAY, _N_DAYS = date(2021, 11, 22), 5 * 365
_SECONDS_PER_DAY = 86_400
_AGAIN = 0.4
"""Part of the studies whose patient was there before."""
_ROWS_AT_ONCE = 50_000
_DATASET_OFFSET, _HEADER_BYTES, _FRAME_BYTES = 600, 4_000, 512 * 512 * 2

# Family names by how many in a hundred bear them, as in Viet Nam; the others share what is left.
_FAMILY_NAMES: Mapping[str, int] = {
    "Nguyễn": 38, "Trần": 11, "Lê": 10, "Phạm": 7, "Hoàng": 5, "Huỳnh": 5, "Phan": 5, "Vũ": 4, "Võ": 4, "Đặng": 2,
    "Bùi": 2, "Đỗ": 1, "Hồ": 1, "Ngô": 1, "Dương": 1, "Lý": 1, "Đinh": 1, "Trịnh": 1,
}  # fmt: skip
_MIDDLE_NAMES: Mapping[str, Sequence[str]] = {
    "M": ("Văn", "Hữu", "Đức", "Minh", "Quang", "Ngọc", "Thanh", "Xuân", "Công", "Đình"),
    "F": ("Thị", "Thị Thu", "Thị Ngọc", "Thị Thanh", "Thị Bích", "Thúy", "Ngọc", "Kim", "Thị Mỹ", "Phương"),
}
_GIVEN_NAMES: Mapping[str, Sequence[str]] = {
    "M": (
        "An", "Anh", "Bình", "Cường", "Dũng", "Đạt", "Đức", "Giang", "Hải", "Hiếu", "Hòa", "Hùng", "Huy", "Khánh",
        "Khoa", "Kiên", "Lâm", "Long", "Minh", "Nam", "Nghĩa", "Phong", "Phúc", "Quân", "Quý", "Sơn", "Tài", "Tâm",
        "Thành", "Thắng", "Thiện", "Tiến", "Toàn", "Trung", "Tuấn", "Tùng", "Việt", "Vinh",
    ),
    "F": (
        "An", "Anh", "Ánh", "Châu", "Chi", "Dung", "Đào", "Giang", "Hà", "Hạnh", "Hằng", "Hiền", "Hoa", "Hồng",
        "Hương", "Huyền", "Lan", "Liên", "Linh", "Loan", "Mai", "My", "Nga", "Ngân", "Ngọc", "Nhung", "Oanh", "Phượng",
        "Quyên", "Thảo", "Thơm", "Thúy", "Trang", "Trâm", "Tuyết", "Uyên", "Vân", "Xuân", "Yến",
    ),
}  # fmt: skip
# What else people are called: one in forty bears a syllable that is in no list above, and as many a word of two.
_ONSETS = ("B", "Ch", "D", "Đ", "G", "H", "Kh", "L", "M", "N", "Ng", "Nh", "Ph", "R", "S", "T", "Th", "Tr", "V", "X")
_RIMES = (
    "ai", "am", "ap", "ân", "âp", "âu", "ây", "ăng", "ăc", "e", "êm", "êt", "iêu", "iên", "im", "o", "oan", "oăt", "oc",
    "ôi", "ôp", "ông", "ơm", "ơi", "ơt", "u", "uân", "uê", "ung", "up", "uya", "ưa", "ưc", "ươi", "ương", "ưu",
)  # fmt: skip
_TONES = ("", "\u0300", "\u0301", "\u0303", "\u0309", "\u0323")
_FAMILIES, _SHARES = tuple(_FAMILY_NAMES), tuple(accumulate(_FAMILY_NAMES.values()))
_ONE_IN = 40


@dataclass(frozen=True, slots=True)
class Examination:
    """A kind of study."""

    modality: str
    sop_class_uid: str
    description: str
    n_instances: tuple[int, ...]
    """Of each of its series."""
    percent: int
    """How many studies are like this, of a hundred or of what those of its list add up to."""


HOSPITAL = (
    Examination("DX", _DX, "X-quang ngực thẳng", (2,), 45),
    Examination("US", _US, "Siêu âm bụng tổng quát", (20,), 25),
    Examination("CT", _CT, "CLVT ngực bụng", (2, 130, 320), 18),
    Examination("MR", _MR, "CHT sọ não", (3, 24, 24, 24, 30, 60, 40), 8),
    Examination("MG", _MG, "Nhũ ảnh hai bên", (4,), 4),
)
"""What a hospital does: about 105 instances a study."""

PROVINCE = (*(replace(kind, percent=kind.percent * 100) for kind in HOSPITAL), Examination("PT", _PT, "PET", (300,), 1))
"""The same, and one study of ten thousand of a kind that only one machine does."""


def _tier(letter: str, n_facilities: int, n_studies: int) -> dict[str, int]:
    return {f"{letter}{number:03d}": n_studies // n_facilities for number in range(1, n_facilities + 1)}


PROVINCIAL_FACILITIES: Mapping[str, int] = MappingProxyType(
    {**_tier("TINH", 5, 1_213_059), **_tier("HUYEN", 20, 1_142_194), **_tier("XA", 150, 285_324)}
)
"""Studies by facility, as the health-record centre of a province published them by tier."""


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody invented."""

    number: int
    name: str
    sex: str
    birth_date: str

    @property
    def patient_id(self) -> str:
        """PatientID."""
        return f"BN{self.number:08d}"


@dataclass(frozen=True, slots=True)
class Study:
    """One study to be written."""

    number: int
    person: Person
    examination: Examination
    facility: str
    taken_at: datetime

    @property
    def uid(self) -> str:
        """Study Instance UID."""
        return f"{_ROOT}.{self.number}"

    @property
    def date(self) -> str:
        """StudyDate."""
        return f"{self.taken_at.year}{self.taken_at.month:02}{self.taken_at.day:02}"

    @property
    def time(self) -> str:
        """StudyTime."""
        return f"{self.taken_at.hour:02}{self.taken_at.minute:02}{self.taken_at.second:02}"

    @property
    def accession_number(self) -> str:
        """AccessionNumber."""
        return f"{self.examination.modality}{self.number:08d}"


def make_studies(
    mix: Sequence[Examination] = HOSPITAL, *, seed: int = 1, facilities: Mapping[str, int] = {"LOCAL": 1}
) -> Iterator[Study]:
    """Yield studies without end; the same arguments yield the same ones.

    Parameters
    ----------
    facilities
        Weight by code: who takes how much of all studies.
    """
    dice = Random(seed)  # noqa: S311 - invented data
    kinds, codes = list(accumulate(kind.percent for kind in mix)), list(facilities)
    shares = list(accumulate(facilities.values()))
    n_persons, number = 0, 0
    while True:
        number += 1
        if n_persons and dice.random() < _AGAIN:
            person = dice.randint(1, n_persons)
        else:
            person = n_persons = n_persons + 1
        (examination,) = dice.choices(mix, cum_weights=kinds)
        (facility,) = dice.choices(codes, cum_weights=shares)
        day = _FIRST_DAY + timedelta(days=dice.randrange(_N_DAYS))
        taken_at = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(
            seconds=dice.randrange(_SECONDS_PER_DAY)
        )
        yield Study(number, _person(seed, person), examination, facility, taken_at)


def up_to_instances(studies: Iterable[Study], n_instances: int) -> Iterator[Study]:
    """Yield studies until they have at least so many instances."""
    total = 0
    for one in studies:
        yield one
        total += sum(one.examination.n_instances)
        if total >= n_instances:
            return


def write_index(database: Database, studies: Iterable[Study], *, with_images: bool = True) -> int:
    """Write the rows of `studies` and of everything above and below them; return the number of instances.

    The indexes are taken away first and built in the end, which takes a fraction of the time.

    Parameters
    ----------
    with_images
        False for what only looks for studies: no rows below them.
    """
    with _without_indexes(database):
        rows = _Rows(with_images=with_images)
        for one in studies:
            rows.add(one)
            if rows.n_waiting >= _ROWS_AT_ONCE:
                rows.write(database)
        rows.write(database)
    return rows.n_instances


def copy_index(source: Path, database: Database) -> None:
    """Write the rows of a SQLite index into an empty one in PostgreSQL: making them takes much longer."""
    with (
        _without_indexes(database),
        closing(sqlite3.connect(f"file:{source}?mode=ro", uri=True)) as reading,
        database.exclusively() as connection,  # without a limit of time
    ):
        # What a row refers to is copied as well; looking each up again would take most of the time.
        connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
        for table in _TABLES:
            columns = ", ".join(column.name for column in table.columns)
            rows = reading.execute(f"SELECT {columns} FROM {table.name}")  # noqa: S608 - our own names
            _copy(connection, table, columns, rows)


@contextmanager
def _without_indexes(database: Database) -> Iterator[None]:
    with database.exclusively() as connection:
        for table in _TABLES:
            for index in table.indexes:
                index.drop(connection)
    yield
    with database.exclusively() as connection:
        for table in _TABLES:
            for index in table.indexes:
                index.create(connection)


Row = dict[str, str | int | bytes | bool | None]


class _Rows:
    """Rows that wait to be written; keys are counted here."""

    def __init__(self, *, with_images: bool) -> None:
        self._with_images = with_images
        self.n_waiting = 0
        """Rows of the largest table that wait to be written."""
        self.n_instances = 0
        self._n_series = 0
        self._patients: set[int] = set()
        self._vocabulary: set[str] = set()
        self._waiting: dict[Table, list[Row]] = defaultdict(list)

    def add(self, one: Study) -> None:
        """Add a study with everything that belongs to it."""
        self.n_waiting += sum(one.examination.n_instances) if self._with_images else 1
        self._add_patient(one.person, one.facility)
        self._waiting[study].append(_study_row(one))
        found = _all_words(one.person.name)
        moment = {"study_date": one.date, "study_time": one.time}
        bits = marks(words(one.person.name))
        self._waiting[patient_word] += [
            {"study_key": one.number, "word": word, "marks": bits, **moment} for word in found
        ]
        fresh = [word for word in found if word not in self._vocabulary]
        self._waiting[vocabulary] += [{"word": word} for word in fresh]
        self._waiting[word_ending] += [{"ending": ending, "word": word} for word in fresh for ending in endings(word)]
        self._vocabulary.update(found)
        if not self._with_images:
            return
        for number, n_instances in enumerate(one.examination.n_instances, 1):
            self._add_series(one, number, n_instances)

    def write(self, database: Database) -> None:
        """Write what waits, parents first."""

        def work(connection: Connection) -> None:
            for table in _TABLES:
                if self._waiting[table]:
                    _load(connection, table, self._waiting[table])

        database.transact(work)
        self._waiting.clear()
        self.n_waiting = 0

    def _add_patient(self, person: Person, facility: str) -> None:
        if person.number in self._patients:
            return
        self._patients.add(person.number)
        self._waiting[patient].append(
            {
                "id": person.number,
                "identity": f"{facility}\\{person.patient_id}",
                "issuer": facility,
                "patient_id": person.patient_id,
                "patient_name": person.name,
                "patient_name_fold": fold(person.name),
                "patient_birth_date": person.birth_date,
                "patient_sex": person.sex,
                "patient_id_lower": person.patient_id.lower(),
            }
        )

    def _add_series(self, one: Study, number: int, n_instances: int) -> None:
        self._n_series += 1
        uid = f"{one.uid}.{number}"
        received_at = round(one.taken_at.timestamp() * 1_000_000)
        self._waiting[series].append(
            {
                "id": self._n_series,
                "study_key": one.number,
                "series_uid": uid,
                "modality": one.examination.modality,
                "series_number": number,
                "series_description": f"{one.examination.modality} {number}",
                "series_date": f"{one.taken_at:%Y%m%d}",
                "n_instances": n_instances,
                "received_at": received_at,
                "revision": n_instances,
            }
        )
        digests = [hashlib.sha256(f"{uid}.{n}".encode()).hexdigest() for n in range(1, n_instances + 1)]
        self._waiting[series_derived].append(
            {
                "series_key": self._n_series,
                "metadata_revision": n_instances,
                "metadata_digest": digests[0],
                "thumbnail_revision": n_instances,
                "thumbnail_digest": digests[n_instances // 2],
            }
        )
        for n, digest in enumerate(digests, 1):
            self.n_instances += 1
            self._waiting[instance].append(
                _INSTANCE
                | {
                    "id": self.n_instances,
                    "series_key": self._n_series,
                    "sop_uid": f"{uid}.{n}",
                    "sop_class_uid": one.examination.sop_class_uid,
                    "digest": digest,
                    "instance_number": n,
                    "facility": one.facility,
                    "received_at": received_at + n,
                    "archived_at": received_at + n,
                }
            )


def _load(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    """Write rows past the statement compiler, which would take most of the time."""
    columns = ", ".join(rows[0])
    values = (tuple(row.values()) for row in rows)
    if connection.dialect.name == "postgresql":
        _copy(connection, table, columns, values)
    else:
        places = ", ".join("?" * len(rows[0]))
        statement = f"INSERT INTO {table.name} ({columns}) VALUES ({places})"  # noqa: S608 - our own names
        connection.connection.cursor().executemany(statement, list(values))


def _copy(connection: Connection, table: Table, columns: str, rows: Iterable[Sequence[object]]) -> None:
    raw = connection.connection.cursor()
    with raw.copy(f"COPY {table.name} ({columns}) FROM STDIN") as copying:
        for row in rows:
            copying.write_row(row)


@lru_cache(maxsize=1 << 18)
def _all_words(name: str) -> tuple[str, ...]:
    return (*words(name), *accented_words(name))


_PIXELS_OFFSET = _DATASET_OFFSET + _HEADER_BYTES
# What all instances have in common: they are archived, and nothing of them waits.
_INSTANCE: Row = {
    "transfer_syntax_uid": _EXPLICIT,
    "state": "current",
    "rows": 512,
    "columns": 512,
    "bits_allocated": 16,
    "image_type": "ORIGINAL\\PRIMARY",
    "size_bytes": _PIXELS_OFFSET + 12 + _FRAME_BYTES,
    "dataset_offset": _DATASET_OFFSET,
    "pixels_offset": _PIXELS_OFFSET,
    "frames": frame_blob.pack(FrameTable(FrameKind.RAW, 1, (((_PIXELS_OFFSET + 12, _FRAME_BYTES),),), _FRAME_BYTES)),
    "method": Method.DIMSE.value,
    "source": "SYNTHETIC",
    "address": "127.0.0.1",
}


_DOCTOR = "Hoàng^Minh^Giả Lập"
_DOCTOR_FOLD = fold(_DOCTOR)


def _study_row(one: Study) -> Row:
    kind = one.examination
    return {
        "id": one.number,
        "study_uid": one.uid,
        "patient_key": one.person.number,
        "facility": one.facility,
        "study_date": one.date,
        "study_time": one.time,
        "accession_number": one.accession_number,
        "accession_number_lower": one.accession_number.lower(),
        "study_id": str(one.number),
        "study_description": kind.description,
        "referring_physician_name": _DOCTOR,
        "referring_physician_name_fold": _DOCTOR_FOLD,
        "modalities": f"\\{kind.modality}\\",
        "sop_classes": f"\\{kind.sop_class_uid}\\",
        "n_series": len(kind.n_instances),
        "n_instances": sum(kind.n_instances),
        "is_defined": True,
        "is_flagged": False,
        "received_at": round(one.taken_at.timestamp() * 1_000_000),
    }


def _person(seed: int, number: int) -> Person:
    dice = Random(seed << 32 | number)  # noqa: S311 - invented data
    sex = dice.choice("MF")
    (family,) = dice.choices(_FAMILIES, cum_weights=_SHARES)
    given = dice.choice(_GIVEN_NAMES[sex])
    match dice.randrange(_ONE_IN):
        case 0:
            given = _syllable(dice)
        case 1:
            given = f"{given}^{_syllable(dice)}{_syllable(dice).lower()}"
    name = f"{family}^{dice.choice(_MIDDLE_NAMES[sex])}^{given}"
    born = date(1930, 1, 1) + timedelta(days=dice.randrange(95 * 365))
    return Person(number, name, sex, f"{born.year}{born.month:02}{born.day:02}")


def _syllable(dice: Random) -> str:
    """Return a syllable; most are rare, as names that few bear are."""
    # The mark stands behind the first vowel, where most syllables have it; which one is right does not matter here.
    rime = _RIMES[int(dice.random() ** 3 * len(_RIMES))]
    return normalize("NFC", dice.choice(_ONSETS) + rime[0] + dice.choice(_TONES) + rime[1:])
