"""Taking studies, series and instances out of sight, into a trash from which they can be restored for 30 days.

The standard has no such service; the paths are those that viewers and archives already speak: DELETE on a resource, and
a rejection with a reason code as dcm4chee and OHIF have it.

References
----------
IHE RAD TF-1 Appendix, Imaging Object Change Management (rejection notes); PS3.16 CID 7011, 7012
"""

from typing import Annotated

from fastapi import APIRouter, Path
from starlette.responses import Response

from pacs_gateway.access import Actor
from pacs_gateway.archive.remove import Target
from pacs_gateway.domain.rejection import RejectionReason
from pacs_gateway.errors import InputError
from viewer_api.access import Visitor
from viewer_api.dependencies import Deleter, Uid

router = APIRouter(prefix="/dicom-web", tags=["Removal"])

_NO_CONTENT = 204
_SCHEME = "DCM"
# A code as ``113001^DCM``.
Code = Annotated[str, Path(max_length=32, pattern=r"^[^\^]+\^[^\^]+$")]


@router.delete("/studies/{study}", summary="Delete a study", status_code=_NO_CONTENT)
def delete_study(visitor: Deleter, study: Uid) -> Response:
    """Take every instance of a study out of sight."""
    return _remove(visitor, Target(study))


@router.delete("/studies/{study}/series/{series}", summary="Delete a series", status_code=_NO_CONTENT)
def delete_series(visitor: Deleter, study: Uid, series: Uid) -> Response:
    """Take every instance of a series out of sight."""
    return _remove(visitor, Target(study, series))


@router.delete(
    "/studies/{study}/series/{series}/instances/{instance}", summary="Delete an instance", status_code=_NO_CONTENT
)
def delete_instance(visitor: Deleter, study: Uid, series: Uid, instance: Uid) -> Response:
    """Take an instance out of sight."""
    return _remove(visitor, Target(study, series, instance))


@router.post("/studies/{study}/reject/{code}", summary="Reject a study", status_code=_NO_CONTENT)
def reject_study(visitor: Deleter, study: Uid, code: Code) -> Response:
    """Take every instance of a study out of sight, for a reason."""
    return _remove(visitor, Target(study), _reason(code))


@router.post("/studies/{study}/series/{series}/reject/{code}", summary="Reject a series", status_code=_NO_CONTENT)
def reject_series(visitor: Deleter, study: Uid, series: Uid, code: Code) -> Response:
    """Take every instance of a series out of sight, for a reason."""
    return _remove(visitor, Target(study, series), _reason(code))


@router.post(
    "/studies/{study}/series/{series}/instances/{instance}/reject/{code}",
    summary="Reject an instance",
    status_code=_NO_CONTENT,
)
def reject_instance(visitor: Deleter, study: Uid, series: Uid, instance: Uid, code: Code) -> Response:
    """Take an instance out of sight, for a reason."""
    return _remove(visitor, Target(study, series, instance), _reason(code))


def _remove(visitor: Visitor, target: Target, reason: RejectionReason | None = None) -> Response:
    by = Actor(visitor.caller.name, visitor.address)
    visitor.gateway.archive.removals.remove(visitor.scope, target, by=by, reason=reason)
    return Response(status_code=_NO_CONTENT)


def _reason(code: str) -> RejectionReason:
    value, _, scheme = code.partition("^")
    if scheme != _SCHEME or value not in set(RejectionReason):
        raise InputError(f"a reason is one of {', '.join(f'{one}^{_SCHEME}' for one in RejectionReason)}")
    return RejectionReason(value)
