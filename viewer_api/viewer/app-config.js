// OHIF's settings as far as they are not plain facts. What stands in `given` is written before this by settings.py.
"use strict";
(() => {
  const { mayStore, words, settings } = given;

  // Without WebGL nothing would be drawn; the old way of drawing shows flat images at least.
  const canDraw = Boolean(document.createElement("canvas").getContext("webgl2"));

  // What has been measured is still on the page: it stays, and whoever reads goes on after logging in beside it.
  const sayThatTheSessionHasEnded = () => {
    if (document.getElementById("session-ended")) return;
    const notice = document.createElement("div");
    notice.id = "session-ended";
    notice.setAttribute("role", "alert");
    const link = document.createElement("a");
    link.href = "/login?next=" + encodeURIComponent(location.pathname + location.search);
    link.target = "_blank";
    link.textContent = words.logIn;
    link.addEventListener("click", () => notice.remove());
    notice.append(words.sessionEnded + " ", link);
    document.body.append(notice);
  };

  const style = document.createElement("style");
  style.textContent = `
    #session-ended { position: fixed; inset: 0 0 auto; z-index: 2147483647; padding: 12px 16px; text-align: center;
      background: #b45309; color: #fff; font: 15px/1.4 system-ui, sans-serif; }
    #session-ended a { color: #fff; font-weight: 600; text-decoration: underline; }
    /* Where OHIF's dialogues give no colour they write in black on black: why a file was not taken, for one. */
    [role="dialog"] { color: #fff; }`;
  document.head.append(style);

  // It offers to save a report to whoever has measured, and finds out afterwards that this one may not.
  const refuseReports = {
    "ohif.createReportDialog": {
      $set: ({ onCancel }) => {
        setTimeout(onCancel);
        return words.mayNotStore;
      },
    },
  };

  window.config = Object.assign(settings, {
    useCPURendering: !canDraw,
    customizationService: [...settings.customizationService, ...(mayStore ? [] : [refuseReports])],
    httpErrorHandler: (error) => {
      if (error?.status === 401) sayThatTheSessionHasEnded();
    },
    whiteLabeling: {
      createLogoComponentFn: (React) =>
        React.createElement("a", { href: "/", style: { color: "#fff", whiteSpace: "nowrap", lineHeight: 1.2 } },
          "← PACS gateway",
          React.createElement("small", { style: { display: "block", opacity: 0.8 } }, words.notCleared)),
    },
  });
})();
