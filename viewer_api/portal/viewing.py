"""What the image page asks for: the pictures of a series, in order."""

from fastapi import APIRouter
from starlette.responses import JSONResponse, Response

from viewer_api.dependencies import Reader, Uid

router = APIRouter(prefix="/api/v1", tags=["portal"])

_PDF_CLASS = "1.2.840.10008.5.1.4.1.1.104.1"


@router.get("/studies/{study}/series/{series}/pictures", summary="Pictures and documents of a series, in order")
def pictures(visitor: Reader, study: Uid, series: Uid) -> Response:
    """Return each image with its number of frames, each PDF document, and everything else."""
    instances = visitor.gateway.archive.retrieve.instances(visitor.scope, study_uid=study, series_uid=series)
    images, documents, others = [], [], []
    for instance in instances:
        if instance.sop_class_uid == _PDF_CLASS:
            documents.append(instance.sop_uid)
        elif instance.frames is not None and instance.frames.n_frames:
            images.append({"instance": instance.sop_uid, "frames": instance.frames.n_frames})
        else:
            others.append(instance.sop_uid)
    return JSONResponse({"images": images, "documents": documents, "others": others})
