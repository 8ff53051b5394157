"""The invented people, hospitals and examinations of the samples. Nobody here exists."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Facility:
    """A hospital that does not exist."""

    code: str
    name: str
    department: str
    address: str


@dataclass(frozen=True, slots=True)
class Patient:
    """A person who does not exist; identity is the number together with who issued it."""

    name: str
    number: str
    birth_date: str
    sex: str
    age: str
    weight_kg: float
    height_m: float


@dataclass(frozen=True, slots=True)
class Study:
    """One examination."""

    key: str
    patient: Patient
    facility: Facility
    date: str
    time: str
    accession_number: str
    description: str
    referring_physician: str
    reading_physician: str
    character_set: str | None = "ISO_IR 192"


PROVINCE = Facility(
    "BVTINH-MAU",
    "Bệnh viện Đa khoa tỉnh Mẫu (giả lập)",
    "Khoa Chẩn đoán hình ảnh",
    "1 đường Giả Lập, tỉnh Mẫu",
)
DISTRICT = Facility(
    "TTYT-MAU",
    "Trung tâm Y tế huyện Thử Nghiệm (giả lập)",
    "Phòng X-quang",
    "2 đường Giả Lập, huyện Thử Nghiệm",
)
WOMEN_AND_CHILDREN = Facility(
    "BVSN-MAU",
    "Bệnh viện Sản Nhi Mẫu (giả lập)",
    "Khoa Siêu âm",
    "3 đường Giả Lập, tỉnh Mẫu",
)
OLD_MACHINE = Facility("BVCU-MAU", "BENH VIEN CU MAU (GIA LAP)", "CDHA", "4 DUONG GIA LAP")

_AN = Patient("Trần^Văn^An", "MAU-000123", "19620315", "M", "064Y", 63.0, 1.66)
_DAO = Patient("Nguyễn^Thị^Đào", "MAU-000456", "19880820", "F", "037Y", 51.0, 1.56)
_DUC = Patient("Lê^Hoàng^Đức", "MAU-000789", "19950102", "M", "031Y", 70.0, 1.72)
_NGOC = Patient("Phạm^Thị Bích^Ngọc", "MAU-001011", "19790611", "F", "046Y", 55.0, 1.58)
_UT = Patient("Đặng^Thị^Út", "MAU-000123", "19510430", "F", "075Y", 47.0, 1.50)
_QUY = Patient("Võ^Quý^Phước", "MAU-001213", "19700909", "M", "055Y", 68.0, 1.69)
_AN_ASCII = Patient("TRAN VAN AN", "000123", "19620315", "M", "064Y", 63.0, 1.66)

_DOCTOR = "Hoàng^Minh^Giả Lập^^BS."
_READER = "Bùi^Thị Hạnh^Giả Lập^^BSCKII."

CT = Study(
    "ct", _AN, PROVINCE, "20260512", "083015", "CT26-000101",
    "CLVT ngực - bụng có tiêm thuốc cản quang", _DOCTOR, _READER,
)  # fmt: skip
DX = Study(
    "dx", _DAO, DISTRICT, "20260513", "091500", "XQ26-000202", "X-quang ngực thẳng", _DOCTOR, _READER,
)  # fmt: skip
MR = Study(
    "mr", _DUC, PROVINCE, "20260514", "140500", "MR26-000303", "Cộng hưởng từ sọ não", _DOCTOR, _READER,
)  # fmt: skip
US = Study(
    "us", _NGOC, WOMEN_AND_CHILDREN, "20260515", "101000", "SA26-000404",
    "Siêu âm tim qua thành ngực", _DOCTOR, _READER,
)  # fmt: skip
US_JPEG = Study(
    "us-jpeg", _UT, DISTRICT, "20260603", "074500", "SA26-000505", "Siêu âm tim kiểm tra", _DOCTOR, _READER,
)  # fmt: skip
ENHANCED = Study(
    "enhanced", _QUY, PROVINCE, "20260608", "154500", "CT26-000606",
    "CLVT đa khung ngực", _DOCTOR, _READER,
)  # fmt: skip
OLD_CT = Study(
    "old-ct", _AN_ASCII, OLD_MACHINE, "20260105", "100000", "000777", "CLVT NGUC", "HOANG MINH GIA LAP",
    "BUI THI HANH GIA LAP", None,  # codespell:ignore bui,thi
)  # fmt: skip
"""The same man as `CT`, as an old scanner of another hospital wrote him down: no accents, one name component."""
