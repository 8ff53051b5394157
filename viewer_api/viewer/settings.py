"""OHIF's settings: a script, because a browser's abilities are asked for when it runs."""

import orjson

from viewer_api.viewer.prepare import BASE

_SOURCE = "gateway"
# Without WebGL nothing would be drawn; the old way of drawing shows flat images at least.
_SCRIPT = """\
const canDraw = Boolean(document.createElement("canvas").getContext("webgl2"));
window.config = Object.assign(%(settings)s, {
  useCPURendering: !canDraw,
  whiteLabeling: {
    createLogoComponentFn: React =>
      React.createElement("a", { href: "/", style: { color: "#fff", whiteSpace: "nowrap" } }, "← PACS gateway"),
  },
});
"""


def settings_script(*, may_store: bool) -> str:
    """Return ``app-config.js``.

    Parameters
    ----------
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
        # Our own pages say that this is for review only; a tour over the first image would hide it.
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
    return _SCRIPT % {"settings": orjson.dumps(settings, option=orjson.OPT_INDENT_2).decode()}
