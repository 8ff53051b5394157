"""OHIF's settings: a script, because a browser's abilities are asked for when it runs."""

from pathlib import Path

import orjson

from viewer_api.portal.catalogue import Catalogue
from viewer_api.viewer.prepare import BASE

_LIST_LENGTH = 1000
"""How many studies the viewer's own list shows, the newest first."""
_SOURCE = "gateway"
_SCRIPT = Path(__file__).with_name("app-config.js")
_SAID = {
    "sessionEnded": "session_ended",
    "logIn": "log_in",
    "mayNotStore": "may_not_store",
    "notCleared": "not_cleared",
}


def settings_script(words: Catalogue, *, may_store: bool) -> bytes:
    """Return ``app-config.js``.

    Parameters
    ----------
    words
        The language of what we say ourselves.
    may_store
        Whether files can be dragged in and measurements kept.
    """
    source = {
        "friendlyName": "PACS gateway",
        "name": _SOURCE,
        "qidoRoot": "/dicom-web",
        "wadoRoot": "/dicom-web",
        "wadoUriRoot": "/wado",
        "imageRendering": "wadors",
        "thumbnailRendering": "rendered",
        "thumbnailRequestStrategy": "fetch",
        "enableStudyLazyLoad": True,
        "supportsFuzzyMatching": True,
        "supportsWildcard": True,
        # Its list has no pages of the server's: what it does not get at once nobody can turn to, only search for.
        "queryLimit": _LIST_LENGTH,
        "dicomUploadEnabled": may_store,
        "singlepart": "bulkdata,video,pdf",
        "bulkDataURI": {"enabled": True},
    }
    settings = {
        "routerBasename": BASE.rstrip("/"),
        "extensions": [],
        "modes": [],
        "showStudyList": True,
        "maxNumberOfWebWorkers": 2,
        "showErrorDetails": "production",
        # Said beside the way back instead, all the time; and no tour is laid over the first image.
        "investigationalUseDialog": {"option": "never"},
        "customizationService": [{"ohif.tours": {"$set": []}}],
        "defaultDataSourceName": _SOURCE,
        "dataSources": [
            {
                "namespace": "@ohif/extension-default.dataSourcesModule.dicomweb",
                "sourceName": _SOURCE,
                "configuration": source,
            }
        ],
    }
    said = {name: words(key) for name, key in _SAID.items()}
    given = {"mayStore": may_store, "words": said, "settings": settings}
    return b"const given = %b;\n%b" % (orjson.dumps(given, option=orjson.OPT_INDENT_2), _SCRIPT.read_bytes())
