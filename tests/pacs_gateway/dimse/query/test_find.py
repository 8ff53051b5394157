"""C-FIND as devices ask it: every level and model, what matches, what is told, and what is refused."""

import subprocess
from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path
from threading import Event

import pytest
from pydicom.config import IGNORE
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from sqlalchemy import update

from pacs_gateway.access.policy import Scope
from pacs_gateway.archive.search import Match, Search
from pacs_gateway.database.engine import Database
from pacs_gateway.database.schema.archive import instance
from pacs_gateway.dimse.negotiation import PATIENT_ROOT_FIND, PATIENT_STUDY_ONLY_FIND, STUDY_ROOT_FIND
from pacs_gateway.domain.attributes import BY_KEYWORD, Attribute
from pacs_gateway.domain.levels import Level
from pacs_gateway.domain.query import Query
from tests.pacs_gateway.dimse.doubles import ALL_RIGHTS, DeviceEntry
from tests.pacs_gateway.dimse.query.finding import (
    CANCELLED,
    MODEL_OPTIONS,
    PENDING,
    PENDING_WITHOUT,
    SYNTAXES,
    Answers,
    Asker,
    FindServer,
    find_server,
    findscu,
)
from tests.pacs_gateway.index.records import NODE, SR, record, write
from tests.support.builders import uid
from tests.support.gateways import open_database
from tests.support.scripted_peer import CT_IMAGE, ScriptedPeer, command, context, element, p_data, pdv, us
from tests.support.vietnamese_bytes import ENCODERS

ACCENTED, BARE, ONE_COMPONENT = "Trần^Văn An", "TRAN VAN AN", "Trần Văn An"
NAMES = {1: ACCENTED, 2: BARE, 3: ONE_COMPONENT, 4: "Trân^Văn An", 5: "Lê^Thị Bình"}
RELATIONAL = b"\1"


@pytest.fixture(scope="module")
def hospital(module_database_url: str) -> Iterator[Database]:
    """Six studies of five people, two series each, the sixth of another facility."""
    database = open_database(module_database_url)
    for study in range(1, 7):
        shared = {
            "PatientID": f"BN{min(study, 5)}",
            "PatientName": NAMES[min(study, 5)],
            "StudyDate": f"2026010{study}",
            "StudyTime": f"0{study}3000",
            "AccessionNumber": f"Ac{study}",
            "StudyDescription": "CT bụng",
            "ProcedureCodeSequence": f"CT0{study}\x1f99VN\x1fCT bụng",
            "TimezoneOffsetFromUTC": "+0700" if study == 5 else "",
        }
        facility = "ELSEWHERE" if study == 6 else "LOCAL"
        for series in (1, 2):
            request = f"S{study}\x1fR{series}\\T{study}\x1f"
            shared["RequestAttributesSequence"] = request if study < 3 else ""
            own = {"Modality": "CT" if series == 1 else "SR", "SeriesNumber": str(series), "InstanceNumber": "1"}
            sop_class = SR if series == 2 else "1.2.840.10008.5.1.4.1.1.2"
            write(database, record(study, series, attributes=shared | own, facility=facility, sop_class_uid=sop_class))
    yield database
    database.close()


@pytest.fixture(scope="module")
def module_server(hospital: Database) -> Iterator[FindServer]:
    with find_server(Search(hospital)) as server:
        yield server


@pytest.fixture
def server(module_server: FindServer) -> Iterator[FindServer]:
    """The provider, with the register as every test finds it."""
    yield module_server
    module_server.devices.known = None


def know(server: FindServer, *devices: DeviceEntry) -> None:
    server.devices.known = {device.ae_title: device for device in devices}


# What is found


@pytest.mark.peer("dcmtk")
@pytest.mark.parametrize(
    ("model", "level", "keys", "expected"),
    [
        (PATIENT_ROOT_FIND, "PATIENT", {"PatientName": "*tran*"}, 4),
        (PATIENT_ROOT_FIND, "STUDY", {"PatientID": "BN1"}, 1),
        (PATIENT_ROOT_FIND, "STUDY", {"StudyInstanceUID": uid(1)}, 1),
        (PATIENT_ROOT_FIND, "SERIES", {"PatientID": "BN1", "StudyInstanceUID": uid(1)}, 2),
        (
            PATIENT_ROOT_FIND,
            "IMAGE",
            {"PatientID": "BN1", "StudyInstanceUID": uid(1), "SeriesInstanceUID": uid(1, 2)},
            1,
        ),
        (STUDY_ROOT_FIND, "STUDY", {"StudyDate": "20260102-20260104"}, 3),
        (STUDY_ROOT_FIND, "STUDY", {"StudyTime": "-0230"}, 2),
        (STUDY_ROOT_FIND, "STUDY", {"AccessionNumber": "Ac?"}, 5),
        (STUDY_ROOT_FIND, "STUDY", {"AccessionNumber": "ac1"}, 0),
        (STUDY_ROOT_FIND, "STUDY", {"StudyInstanceUID": f"{uid(1)}\\{uid(3)}\\{uid(99)}"}, 2),
        (STUDY_ROOT_FIND, "STUDY", {"ModalitiesInStudy": "US\\SR", "PatientName": "van an tran"}, 4),
        (STUDY_ROOT_FIND, "STUDY", {"SOPClassesInStudy": "1.2.840.10008.5.1.4.1.1.2"}, 5),
        (STUDY_ROOT_FIND, "SERIES", {"StudyInstanceUID": uid(2), "Modality": "SR"}, 1),
        (STUDY_ROOT_FIND, "IMAGE", {"StudyInstanceUID": uid(2), "SeriesInstanceUID": uid(2, 1)}, 1),
        (PATIENT_STUDY_ONLY_FIND, "PATIENT", {"PatientID": "BN*"}, 5),
        (PATIENT_STUDY_ONLY_FIND, "STUDY", {"PatientID": "BN5"}, 1),
    ],
)
def test_findscu_finds_at_every_level(
    server: FindServer, tmp_path: Path, model: str, level: str, keys: dict[str, str], expected: int
) -> None:
    answers = findscu(
        tmp_path / "answers", server.port, MODEL_OPTIONS[model], keys={"QueryRetrieveLevel": level, **keys}
    )

    assert len(answers) == expected
    assert {answer.QueryRetrieveLevel for answer in answers} <= {level}


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_answers_tell_what_was_asked_and_who_it_is(server: FindServer, syntax: str) -> None:
    asker = Asker(server.port, syntax=syntax)

    answers = asker.ask(
        "STUDY",
        StudyInstanceUID=uid(1),
        PatientName="",
        ModalitiesInStudy="",
        NumberOfStudyRelatedSeries=None,
        NumberOfStudyRelatedInstances=None,
        InstanceAvailability="",
        StorageMediaFileSetID="",
        ReferringPhysicianName="",
    )

    assert answers.statuses == [PENDING, 0]
    (answer,) = answers.data_sets
    assert {
        element.keyword: "\\".join(element.value) if element.VM > 1 else str(element.value) for element in answer
    } == {
        "SpecificCharacterSet": "ISO_IR 192",
        "QueryRetrieveLevel": "STUDY",
        "RetrieveAETitle": "PACSGW",
        "InstanceAvailability": "ONLINE",
        "ModalitiesInStudy": "CT\\SR",
        "ReferringPhysicianName": "",
        "PatientName": ACCENTED,
        "StudyInstanceUID": uid(1),
        "NumberOfStudyRelatedSeries": "2",
        "NumberOfStudyRelatedInstances": "2",
        "StorageMediaFileSetID": "",
    }


@pytest.mark.parametrize("level", list(Level))
def test_what_only_a_silent_node_has_is_unavailable(hospital: Database, level: Level) -> None:
    keys = {"PatientID": "", "StudyInstanceUID": "", "SeriesInstanceUID": "", "SOPInstanceUID": ""}
    with find_server(Search(hospital, silent_nodes=lambda: frozenset({NODE}))) as server:
        asker = Asker(server.port, model=PATIENT_ROOT_FIND, extended=RELATIONAL)
        assert set(asker.ask(level, **keys, InstanceAvailability="").all("InstanceAvailability")) == {"UNAVAILABLE"}
    with find_server(Search(hospital, silent_nodes=lambda: frozenset({"another"}))) as server:
        asker = Asker(server.port, model=PATIENT_ROOT_FIND, extended=RELATIONAL)
        assert set(asker.ask(level, **keys, InstanceAvailability="").all("InstanceAvailability")) == {"ONLINE"}


def test_a_patients_numbers_count_what_the_device_may_see(server: FindServer) -> None:
    know(server, DeviceEntry("HERE"), DeviceEntry("THERE", facility="ELSEWHERE"))
    numbers = ["NumberOfPatientRelatedStudies", "NumberOfPatientRelatedSeries", "NumberOfPatientRelatedInstances"]

    for title in ("HERE", "THERE"):
        asker = Asker(server.port, title, model=PATIENT_ROOT_FIND)
        (answer,) = asker.ask("PATIENT", PatientID="BN5", **dict.fromkeys(numbers)).data_sets
        assert [int(answer[number].value) for number in numbers] == [1, 2, 2]


@pytest.mark.peer("dcmtk")
def test_names_are_found_with_and_without_accents(server: FindServer, tmp_path: Path) -> None:
    keys = {"QueryRetrieveLevel": "STUDY", "PatientName": "*Tran*"}
    answers = findscu(tmp_path / "answers", server.port, "-S", keys=keys)

    assert {str(answer.PatientName) for answer in answers} == set(NAMES.values()) - {NAMES[5]}
    assert {answer.get("SpecificCharacterSet") for answer in answers} == {"ISO_IR 192", None}


def request_key(**keys: str) -> Dataset:
    item = Dataset()
    for keyword, value in keys.items():
        setattr(item, keyword, value)
    return item


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_sequences_are_matched_and_told_item_by_item(server: FindServer, syntax: str) -> None:
    relational = Asker(server.port, extended=RELATIONAL, syntax=syntax)

    def ask(*items: Dataset) -> Answers:
        return relational.ask("SERIES", RequestAttributesSequence=list(items))

    found = ask(request_key(ScheduledProcedureStepID="S1", RequestedProcedureID="R2"))
    assert (found.statuses, found.all("SeriesInstanceUID")) == ([PENDING, 0], [uid(1, 2)])
    told = [
        (item.ScheduledProcedureStepID, item.RequestedProcedureID)
        for item in found.data_sets[0].RequestAttributesSequence
    ]
    assert told == [("S1", "R2"), ("T1", "")]
    assert len(ask(request_key(ScheduledProcedureStepID="T*")).data_sets) == 4
    assert ask(request_key(ScheduledProcedureStepID="T1", RequestedProcedureID="R*")).statuses == [0]
    assert len(ask().data_sets) == len(ask(request_key(RequestedProcedureID="")).data_sets) == 10
    assert ask(request_key(ScheduledProcedureStepDescription="CT")).statuses == [PENDING_WITHOUT] * 10 + [0]
    assert ask(request_key(), request_key()).final.OffendingElement == 0x00400275


def test_procedure_codes_are_found_at_study_level(server: FindServer) -> None:
    answers = Asker(server.port).ask("STUDY", ProcedureCodeSequence=[request_key(CodeValue="CT02", CodeMeaning="")])

    assert answers.all("StudyInstanceUID") == [uid(2)]
    (code,) = answers.data_sets[0].ProcedureCodeSequence
    assert (code.CodeValue, code.CodeMeaning) == ("CT02", "CT bụng")
    assert "CodingSchemeDesignator" not in code


# The hierarchy


@pytest.mark.parametrize(
    ("model", "level", "keys", "tag"),
    [
        (PATIENT_ROOT_FIND, "SERIES", {"PatientID": "BN1"}, 0x0020000D),
        (STUDY_ROOT_FIND, "SERIES", {"StudyInstanceUID": [uid(1), uid(2)]}, 0x0020000D),
        (STUDY_ROOT_FIND, "IMAGE", {"StudyInstanceUID": uid(1)}, 0x0020000E),
        (STUDY_ROOT_FIND, "PATIENT", {}, 0x00080052),
        (STUDY_ROOT_FIND, "", {}, 0x00080052),
        (PATIENT_STUDY_ONLY_FIND, "SERIES", {"PatientID": "BN1", "StudyInstanceUID": uid(1)}, 0x00080052),
    ],
)
def test_what_does_not_fit_the_model_is_refused_by_name(
    server: FindServer, model: str, level: str, keys: dict[str, object], tag: int
) -> None:
    answers = Asker(server.port, model=model).ask(level, **keys)

    assert answers.statuses == [0xA900]
    assert answers.final.OffendingElement == tag
    assert "BN1" not in answers.final.ErrorComment


def test_relational_queries_need_no_keys_of_the_levels_above(server: FindServer) -> None:
    relational = Asker(server.port, model=PATIENT_ROOT_FIND, extended=RELATIONAL)

    assert len(relational.ask("SERIES", Modality="SR", PatientName="tran*").data_sets) == 4
    assert relational.ask("IMAGE", SeriesInstanceUID=uid(2, 1)).all("SOPInstanceUID") == [uid(2, 1, 1)]


# Who asks


def test_what_belongs_to_another_facility_does_not_exist(server: FindServer) -> None:
    know(server, DeviceEntry("THERE", facility="ELSEWHERE"), DeviceEntry("NOWHERE", facility="NOWHERE"))

    assert Asker(server.port, "THERE").ask("STUDY").all("StudyInstanceUID") == [uid(6)]
    assert Asker(server.port, "NOWHERE").ask("STUDY", StudyInstanceUID=uid(1)).statuses == [0]


def test_case_counts_unless_the_device_says_otherwise(server: FindServer) -> None:
    know(server, DeviceEntry("STRICT"), DeviceEntry("LOOSE", ignores_case=True))

    assert Asker(server.port, "STRICT").ask("STUDY", AccessionNumber="ac1").statuses == [0]
    assert Asker(server.port, "LOOSE").ask("STUDY", AccessionNumber="ac1").statuses == [PENDING, 0]


def test_queries_about_everything_are_capped(server: FindServer) -> None:
    know(server, DeviceEntry("CAPPED", max_matches=3), DeviceEntry("FIVE", max_matches=5))

    capped = Asker(server.port, "CAPPED").ask("STUDY", StudyDate="20260101-")
    assert capped.statuses == [PENDING] * 3 + [0xA700]
    assert capped.final.ErrorComment == "more than 3 matches"
    assert Asker(server.port, "FIVE").ask("STUDY").statuses == [PENDING] * 5 + [0]


def test_queries_about_somebody_are_not_capped(server: FindServer) -> None:
    know(server, DeviceEntry("CAPPED", max_matches=1))
    listed = [uid(1), uid(2), uid(3)]

    assert Asker(server.port, "CAPPED").ask("STUDY", StudyInstanceUID=listed).statuses == [PENDING] * 3 + [0]


def test_words_of_a_name_match_in_any_order_when_that_was_agreed(server: FindServer) -> None:
    assert Asker(server.port).ask("STUDY", PatientName="an tran").statuses == [0]
    assert len(Asker(server.port, extended=b"\0\0\1").ask("STUDY", PatientName="an tran").data_sets) == 4


def test_date_and_time_are_one_when_that_was_agreed(server: FindServer) -> None:
    keys = {"StudyDate": "20260102-20260104", "StudyTime": "0300-0345"}

    assert Asker(server.port).ask("STUDY", **keys).all("StudyInstanceUID") == [uid(3)]
    combined = Asker(server.port, extended=b"\0\1").ask("STUDY", **keys)
    assert combined.all("StudyInstanceUID") == [uid(3)]
    assert combined.all("StudyDate") == ["20260103"]


def test_dates_are_those_of_the_askers_zone_when_that_was_agreed(server: FindServer) -> None:
    zoned = Asker(server.port, extended=b"\0\1\0\1")

    # Study 5 was made at half past five in Hanoi: the day before in London. Where study 4 was made nobody knows.
    in_london = zoned.ask("STUDY", StudyDate="20260104", TimezoneOffsetFromUTC="+0000")
    assert in_london.all("StudyInstanceUID") == [uid(5), uid(4)]
    assert in_london.data_sets[0].TimezoneOffsetFromUTC == "+0700"
    in_hanoi = zoned.ask("STUDY", StudyDate="20260105", StudyTime="", TimezoneOffsetFromUTC="+0700")
    assert in_hanoi.all("StudyTime") == ["053000"]
    assert "TimezoneOffsetFromUTC" not in zoned.ask("STUDY", StudyInstanceUID=uid(1)).data_sets[0]
    hours = zoned.ask("STUDY", StudyInstanceUID=uid(1), StudyTime="0130", TimezoneOffsetFromUTC="+0000")
    assert hours.statuses == [PENDING_WITHOUT, 0]
    assert zoned.ask("STUDY", TimezoneOffsetFromUTC="+25").final.OffendingElement == 0x00080201
    assert Asker(server.port).ask("STUDY", StudyInstanceUID=uid(1), TimezoneOffsetFromUTC="+0000").statuses == [
        PENDING_WITHOUT,
        0,
    ]


# Character sets


@pytest.mark.parametrize(
    ("terms", "raw", "expected"),
    [
        ("", b"*Tran*", {"", "ISO_IR 192"}),
        ("ISO_IR 192", "Trần^Văn An".encode(), {"", "ISO_IR 192"}),
        ("ISO_IR 100", b"Tr\xe2n^V*", {"", "ISO_IR 192"}),
        ("GB18030", "Trần^*".encode("gb18030"), {"", "GB18030"}),
    ],
)
def test_keys_are_read_in_the_callers_set_and_answered_in_it_if_it_can(
    server: FindServer, terms: str, raw: bytes, expected: set[str]
) -> None:
    identifier = Dataset()
    if terms:
        identifier.SpecificCharacterSet = terms
    identifier.QueryRetrieveLevel = "STUDY"
    identifier.add_new(0x00100010, "PN", raw)

    answers = Asker(server.port).ask_with(identifier)

    assert {str(answer.PatientName) for answer in answers.data_sets} == set(NAMES.values()) - {NAMES[5]}
    assert {answer.get("SpecificCharacterSet", "") for answer in answers.data_sets} == expected


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("is_set", [False, True])
def test_an_older_vietnamese_system_is_understood_and_answered_in_utf_8(
    server: FindServer, name: str, is_set: bool
) -> None:
    know(server, DeviceEntry("OLDRIS", charset=name if is_set else ""))
    identifier = Dataset()
    identifier.QueryRetrieveLevel = "STUDY"
    identifier.add_new(0x00100010, "PN", ENCODERS[name](ACCENTED))

    answers = Asker(server.port, "OLDRIS").ask_with(identifier)

    assert set(answers.all("PatientName")) == set(NAMES.values()) - {NAMES[5]}
    assert {answer.get("SpecificCharacterSet", "") for answer in answers.data_sets} == {"", "ISO_IR 192"}


@pytest.mark.parametrize(
    ("terms", "key", "expected"),
    [
        # As old consoles ask: code extensions in the key, and the answer in them as well (PS3.5 H.3).
        ("\\ISO 2022 IR 87", "Yamada^Tarou=山田^太郎", "\\ISO 2022 IR 87"),
        ("GB18030", "*山田*", "GB18030"),
        ("ISO_IR 100", "Yamada*", "ISO_IR 192"),
    ],
)
def test_callers_of_old_are_understood_and_answered_in_their_own_way(
    database: Database, terms: str, key: str, expected: str
) -> None:
    name = "Yamada^Tarou=山田^太郎"
    write(database, record(attributes={"PatientName": name}))
    with find_server(Search(database)) as server:
        answers = Asker(server.port).ask(
            "STUDY", SpecificCharacterSet=terms.split("\\") if "\\" in terms else terms, PatientName=key
        )

    (answer,) = answers.data_sets
    assert str(answer.PatientName) == name
    told = answer.SpecificCharacterSet
    assert (told if isinstance(told, str) else "\\".join(told)) == expected


@pytest.mark.peer("dcmtk")
def test_dcmdump_shows_the_accents(server: FindServer, tmp_path: Path) -> None:
    keys = {"QueryRetrieveLevel": "STUDY", "PatientName": "", "StudyInstanceUID": uid(1)}
    findscu(tmp_path / "answers", server.port, "-S", keys=keys)

    dump = subprocess.run(["dcmdump", tmp_path / "answers" / "rsp0001.dcm"], capture_output=True, text=True, timeout=60)

    assert "[ISO_IR 192]" in dump.stdout
    assert f"[{ACCENTED}" in dump.stdout


def test_a_device_that_shows_ascii_alone_is_answered_in_it(server: FindServer) -> None:
    know(server, DeviceEntry("OLD", answers_ascii=True))

    (answer,) = Asker(server.port, "OLD").ask("STUDY", StudyInstanceUID=uid(1), PatientName="").data_sets

    assert str(answer.PatientName) == "Tran^Van An"
    assert "SpecificCharacterSet" not in answer


# What is refused, and what is said of it


def test_unknown_keys_are_answered_empty_and_said_to_be_unsupported(server: FindServer) -> None:
    answers = Asker(server.port).ask("STUDY", StudyInstanceUID=uid(1), AdmissionID="", Modality="CT")

    assert answers.statuses == [PENDING_WITHOUT, 0]
    (answer,) = answers.data_sets
    assert (answer.AdmissionID, answer.Modality) == ("", "")


@pytest.mark.parametrize(
    ("key", "value", "tag"),
    [
        ("StudyDate", "last week", 0x00080020),
        ("StudyInstanceUID", "1.2.*", 0x0020000D),
        ("StudyID", "x" * 2000, 0x00200010),
    ],
)
def test_malformed_keys_are_refused_by_name(server: FindServer, key: str, value: str, tag: int) -> None:
    identifier = Dataset()
    identifier.QueryRetrieveLevel = "STUDY"
    identifier[key] = DataElement(key, dictionary_VR(tag), value, validation_mode=IGNORE)

    answers = Asker(server.port).ask_with(identifier)

    assert answers.statuses == [0xC000]
    assert answers.final.OffendingElement == tag
    assert value not in answers.final.ErrorComment


def test_junk_is_answered_and_the_association_goes_on(server: FindServer) -> None:
    identifier, inner = Dataset(), Dataset()
    for _ in range(6):
        outer = Dataset()
        outer.RequestAttributesSequence = [inner]
        inner = outer
    identifier.QueryRetrieveLevel, identifier.RequestAttributesSequence = "STUDY", [inner]

    with Asker(server.port).associated() as association:
        statuses = [status.Status for status, _ in association.send_c_find(identifier, STUDY_ROOT_FIND)]
        assert statuses == [0xC000]
        good = Dataset()
        good.QueryRetrieveLevel, good.StudyInstanceUID = "STUDY", uid(1)
        assert [s.Status for s, _ in association.send_c_find(good, STUDY_ROOT_FIND)] == [PENDING, 0]


def test_without_the_right_nothing_is_answered(server: FindServer) -> None:
    know(server, DeviceEntry("SENDER", rights=ALL_RIGHTS - {"find"}))
    asker = Asker(server.port, "SENDER")

    with pytest.raises(AssertionError):
        asker.ask("STUDY")


# The end


class EndlessSearch:
    """Finds the same study for ever, and remembers that it was left."""

    def __init__(self) -> None:
        self.was_left = Event()

    def stream(
        self, query: Query, scope: Scope, attributes: Collection[Attribute], *, tells_reach: bool
    ) -> Iterator[tuple[Match, ...]]:
        values = {attribute.keyword: "" for attribute in attributes}
        try:
            while True:
                yield (Match(query.level, values, "LOCAL", is_flagged=False),) * 40
        finally:
            self.was_left.set()


EVERYTHING = DeviceEntry("ASKER", max_matches=10**9)


@pytest.fixture
def endless() -> Iterator[tuple[FindServer, EndlessSearch]]:
    search = EndlessSearch()
    with find_server(search) as server:
        know(server, EVERYTHING, replace(EVERYTHING, ae_title="DCMTK"))
        yield server, search


def test_a_cancelled_query_ends_as_cancelled(endless: tuple[FindServer, EndlessSearch]) -> None:
    server, search = endless
    identifier = Dataset()
    identifier.QueryRetrieveLevel = "STUDY"
    with Asker(server.port).associated() as association:
        statuses = []
        for status, _ in association.send_c_find(identifier, STUDY_ROOT_FIND, msg_id=7):
            statuses.append(status.Status)
            if len(statuses) == 3:
                association.send_c_cancel(7, query_model=STUDY_ROOT_FIND)

    assert set(statuses[:-1]) == {PENDING}
    assert statuses[-1] == CANCELLED
    assert search.was_left.is_set()


@pytest.mark.peer("dcmtk")
def test_findscu_cancels(endless: tuple[FindServer, EndlessSearch]) -> None:
    server, search = endless
    command = ["findscu", "-v", "-S", "--cancel", "5", "-aet", "DCMTK", "-aec", "PACSGW"]
    command += ["-k", "QueryRetrieveLevel=STUDY", "127.0.0.1", str(server.port)]

    done = subprocess.run(command, capture_output=True, text=True, timeout=60)

    assert "Cancel: MatchingTerminatedDueToCancelRequest" in done.stdout + done.stderr
    assert search.was_left.is_set()


def test_a_query_whose_asker_is_gone_ends(endless: tuple[FindServer, EndlessSearch]) -> None:
    server, search = endless
    identifier = Dataset()
    identifier.QueryRetrieveLevel = "STUDY"
    with Asker(server.port).associated() as association:
        next(association.send_c_find(identifier, STUDY_ROOT_FIND))
        association.abort()

    assert search.was_left.wait(30)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    opened = open_database(database_url)
    yield opened
    opened.close()


def test_what_goes_between_two_pieces_is_left_out(database: Database) -> None:
    write(database, *(record(n) for n in range(1, 451)))
    pieces = Search(database).stream(Query(Level.IMAGE), Scope(None), [BY_KEYWORD["SOPInstanceUID"]])
    first = next(pieces)
    last = update(instance).where(instance.c.sop_uid == uid(450, 1, 1)).values(state="conflict")
    database.transact(lambda connection: connection.execute(last))

    rest = [match for piece in pieces for match in piece]

    assert len(first) + len(rest) == 449


def find_rq(*elements: bytes) -> bytes:
    """Return a C-FIND-RQ without priority and data set."""
    uid = element(0x0002, STUDY_ROOT_FIND.encode() + b"\0")
    return p_data(pdv(1, 3, command(uid, us(0x0100, 0x0020), *elements, us(0x0800, 0x0101))))


def test_a_request_without_an_identifier_is_answered(server: FindServer) -> None:
    with ScriptedPeer(server.port) as peer:
        peer.associate(context(1, STUDY_ROOT_FIND))
        peer.send(find_rq(us(0x0110, 7)))

        status, answer = peer.receive_status()

    assert (status, int.from_bytes(answer[0x0120], "little")) == (0xA900, 7)


def test_a_request_that_cannot_be_answered_ends_its_association(server: FindServer) -> None:
    with ScriptedPeer(server.port) as peer:
        peer.associate(context(1, STUDY_ROOT_FIND))
        peer.send(find_rq())

        assert peer.receive_pdu()[:1] == b"\x07"


@pytest.mark.parametrize("field", [0x0020, 0x0021, 0x0010, 0x0130], ids=["find", "move", "get", "action"])
def test_a_request_under_the_context_of_another_service_ends_its_association(server: FindServer, field: int) -> None:
    element_of = 0x0003 if field == 0x0130 else 0x0002
    uid = element(element_of, CT_IMAGE.encode() + b"\0" * (len(CT_IMAGE) % 2))
    instance = (element(0x1001, b"1.2\0"), us(0x1008, 1)) if field == 0x0130 else ()
    request = command(uid, us(0x0100, field), us(0x0110, 7), us(0x0700, 0), us(0x0800, 0x0101), *instance)
    with ScriptedPeer(server.port) as peer:
        peer.associate(context(1, CT_IMAGE))
        peer.send(p_data(pdv(1, 3, request)))

        assert peer.receive_pdu()[:1] == b"\x07"
