"""Which entities a retrieval names: the unique keys of its identifier.

References
----------
PS3.4 C.4.2.2 and C.4.3.2 (unique keys of C-MOVE and C-GET), C.5.2.1 and C.5.3.1 (relational retrieval)
"""

from collections.abc import Mapping

from pacs_gateway.dimse.query.information_model import QUERY_RETRIEVE_LEVEL, InformationModel
from pacs_gateway.domain.attributes import BY_KEYWORD
from pacs_gateway.domain.character_set import CharacterSet
from pacs_gateway.domain.levels import Level
from pacs_gateway.domain.raw_data_set import RawDataSet, RawElement
from pacs_gateway.domain.uids import is_uid
from pacs_gateway.errors import UnfitQueryError

_SPECIFIC_CHARACTER_SET = 0x00080005
_MOST_VALUES = 10_000

UniqueKeys = Mapping[Level, tuple[str, ...]]
"""Values by level: meant is what has one of them at every level."""


def unique_keys(identifier: RawDataSet, model: InformationModel, *, is_relational: bool, charset: str) -> UniqueKeys:
    """Return the unique keys in `identifier`; what else is in it does not count.

    Parameters
    ----------
    is_relational
        Whether the levels above the one retrieved may be left out, or have lists of UIDs.
    charset
        Character set of an identifier whose device names none, or a wrong one.

    Raises
    ------
    UnfitQueryError
        A key is missing, is none, or has several values where one is allowed.
    """
    level = model.level(identifier.code(QUERY_RETRIEVE_LEVEL))
    known_charset = CharacterSet(identifier.code(_SPECIFIC_CHARACTER_SET), charset)
    keys: dict[Level, tuple[str, ...]] = {}
    for one in (*model.above(level), level):
        attribute = BY_KEYWORD[one.unique_key]
        element = identifier.elements.get(attribute.tag)
        is_lowest = one is level
        # The patient's is not demanded (decision 0019): a study's UID says all.
        is_optional = not is_lowest and (is_relational or one is Level.PATIENT)
        if is_optional and (element is None or not element.value.strip(b"\0 ")):
            continue
        if element is None:
            raise UnfitQueryError(f"{attribute.keyword} is missing", tag=attribute.tag)
        if one is Level.PATIENT:
            values = _patient_id(element, known_charset)
            is_fit = bool(values and values[0])
        else:
            values = _uids(element)
            is_fit = bool(values) and (is_lowest or is_relational or len(values) == 1)
        if not is_fit:
            raise UnfitQueryError(f"{attribute.keyword} is not what this level needs", tag=attribute.tag)
        keys[one] = values
    return keys


def _patient_id(element: RawElement, charset: CharacterSet) -> tuple[str, ...]:
    """Return a Patient ID; nothing where it is a list or a pattern."""
    text = charset.decode(element.value).strip("\0 ")
    return () if any(char in text for char in "\\*?") else (text,)


def _uids(element: RawElement) -> tuple[str, ...]:
    """Return a UID or a list of them; nothing where one is none, or the list is too long."""
    values = tuple(part.strip("\0 ") for part in element.value.decode("ascii", "replace").split("\\"))
    return values if len(values) <= _MOST_VALUES and all(map(is_uid, values)) else ()
