// The image page: pictures come rendered from the server; this scrolls, zooms and keeps the neighbours ready.
"use strict";
(() => {
  const AHEAD = 8, BEHIND = 3, KEPT = 160, FRAME_MS = 80;
  const byId = (id) => document.getElementById(id);
  const viewer = byId("viewer"), picture = byId("picture"), canvas = byId("canvas"), message = byId("message");
  const corner = byId("corner"), slider = byId("slider"), paper = byId("paper");
  const study = "/dicom-web/studies/" + viewer.dataset.study;
  const context = canvas.getContext("2d");
  let base = "", frames = [], at = 0, direction = 1, shown = null, wanted = null, playing = 0;
  let windowText = "", isInverted = false, zoom = 1, panX = 0, panY = 0, brightness = 1, contrast = 1;
  const kept = new Map();

  byId("back").href = "/" + (sessionStorage.getItem("list") || "");
  const hideAbsent = (event) => event.target.matches?.(".thumb img") && event.target.classList.add("absent");
  document.addEventListener("error", hideAbsent, true);
  for (const image of document.querySelectorAll(".thumb img")) {
    if (image.complete && !image.naturalWidth && image.currentSrc) image.classList.add("absent");
  }

  // Sizes in steps, so that a small change of the window does not ask for every picture again.
  const side = () => {
    const most = Math.max(picture.clientWidth, picture.clientHeight) * Math.min(devicePixelRatio || 1, 2);
    return Math.min(2048, Math.max(512, Math.ceil(most / 512) * 512));
  };
  const address = (index) => {
    const { instance, frame } = frames[index];
    const view = new URLSearchParams({ viewport: side() + "," + side() });
    if (windowText) view.set("window", windowText);
    return `${base}/instances/${instance}/frames/${frame}/rendered?${view}`;
  };
  function load(index) {
    const source = address(index);
    let image = kept.get(source);
    if (!image) {
      image = new Image();
      image.src = source;
      image.addEventListener("error", () => kept.delete(source));
    }
    kept.delete(source);
    kept.set(source, image); // the last used is the last forgotten
    while (kept.size > KEPT) kept.delete(kept.keys().next().value);
    return image;
  }

  function show(index) {
    if (!frames.length) return;
    direction = index >= at ? 1 : -1;
    at = Math.min(Math.max(index, 0), frames.length - 1);
    slider.value = at + 1;
    const image = (wanted = load(at));
    if (image.complete && image.naturalWidth) draw(image);
    else {
      image.addEventListener("load", () => image === wanted && draw(image), { once: true });
      image.addEventListener("error", () => image === wanted && fail(), { once: true });
    }
    for (let step = 1; step <= AHEAD; step++) {
      for (const near of [at + step * direction, ...(step <= BEHIND ? [at - step * direction] : [])]) {
        if (near >= 0 && near < frames.length) load(near);
      }
    }
    label();
  }
  function label() {
    const lines = [frames.length > 1 ? `${at + 1} / ${frames.length}` : ""];
    if (zoom !== 1) lines.unshift(Math.round(zoom * 100) + " %");
    corner.textContent = lines.filter(Boolean).join("\n");
  }
  function draw(image) {
    shown = image;
    message.textContent = "";
    const scale = Math.min(devicePixelRatio || 1, 2);
    const width = Math.round(picture.clientWidth * scale), height = Math.round(picture.clientHeight * scale);
    if (canvas.width !== width || canvas.height !== height) { canvas.width = width; canvas.height = height; }
    const fit = Math.min(width / image.naturalWidth, height / image.naturalHeight) * zoom;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, width, height);
    context.imageSmoothingQuality = "high";
    context.setTransform(fit, 0, 0, fit, width / 2 + panX * scale, height / 2 + panY * scale);
    context.drawImage(image, -image.naturalWidth / 2, -image.naturalHeight / 2);
    canvas.style.filter = `${isInverted ? "invert(1) " : ""}brightness(${brightness}) contrast(${contrast})`;
  }
  const redraw = () => shown && draw(shown);
  function fail() {
    shown = null;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, canvas.width, canvas.height);
    message.textContent = viewer.dataset.failed;
  }

  async function open(button) {
    stop();
    for (const other of document.querySelectorAll(".series")) other.removeAttribute("aria-current");
    button.setAttribute("aria-current", "true");
    base = study + "/series/" + button.dataset.series;
    byId("windows").hidden = button.dataset.modality !== "CT";
    windowText = byId("window").value = "";
    frames = []; wanted = null; kept.clear();
    reset();
    fail();
    message.textContent = ""; corner.textContent = ""; paper.hidden = true; paper.replaceChildren();
    byId("sliding").hidden = byId("play").hidden = true;
    viewer.classList.remove("reading");
    const mine = base;
    let found;
    try {
      const answer = await fetch("/api/v1" + base.slice("/dicom-web".length) + "/pictures");
      if (answer.status === 401) return location.reload();
      if (!answer.ok) throw new Error(String(answer.status));
      found = await answer.json();
    } catch (error) {
      if (mine === base) fail();
      return;
    }
    if (mine !== base) return; // another series has been chosen meanwhile
    for (const { instance, frames: count } of found.images) {
      for (let frame = 1; frame <= count; frame++) frames.push({ instance, frame });
    }
    if (!frames.length) return papers(found);
    slider.max = frames.length;
    byId("sliding").hidden = byId("play").hidden = frames.length < 2;
    at = 0;
    show(found.images.length === 1 || frames.length < 3 ? 0 : Math.floor((frames.length - 1) / 2));
  }
  function papers(found) {
    paper.hidden = false;
    viewer.classList.add("reading");
    const line = document.createElement("p");
    const link = document.createElement("a");
    const [uid] = found.documents.length ? found.documents : found.others;
    if (found.documents.length) {
      const frame = document.createElement("iframe");
      frame.title = viewer.dataset.document;
      link.href = frame.src = `${base}/instances/${uid}/rendered?accept=application/pdf`;
      link.target = "_blank";
      link.rel = "noopener";
      link.textContent = viewer.dataset.open;
      line.append(link);
      paper.append(line, frame);
      return;
    }
    line.textContent = viewer.dataset.nothing + " ";
    if (uid) {
      link.href = `${base}/instances/${uid}?accept=application/dicom;transfer-syntax=*`;
      link.download = uid + ".dcm";
      link.textContent = viewer.dataset.download;
      line.append(link);
    }
    paper.append(line);
  }

  function reset() {
    zoom = 1; panX = panY = 0; brightness = contrast = 1; isInverted = false;
    byId("invert").setAttribute("aria-pressed", "false");
    label();
    redraw();
  }
  function stop() {
    clearInterval(playing);
    playing = 0;
    byId("play").setAttribute("aria-pressed", "false");
    byId("play").textContent = "▶";
  }
  function play() {
    if (playing) return stop();
    if (frames.length < 2) return;
    byId("play").setAttribute("aria-pressed", "true");
    byId("play").textContent = "❚❚";
    playing = setInterval(() => {
      const next = (at + 1) % frames.length;
      if (load(next).complete) show(next);
    }, FRAME_MS);
  }
  function invert() {
    isInverted = !isInverted;
    byId("invert").setAttribute("aria-pressed", String(isInverted));
    redraw();
  }
  function zoomBy(factor) {
    zoom = Math.min(12, Math.max(1, zoom * factor));
    if (zoom === 1) panX = panY = 0;
    label();
    redraw();
  }

  document.querySelectorAll(".series").forEach((button) => button.addEventListener("click", () => open(button)));
  slider.addEventListener("input", () => { stop(); show(Number(slider.value) - 1); });
  byId("invert").addEventListener("click", invert);
  byId("reset").addEventListener("click", () => { if (windowText) { byId("window").value = windowText = ""; show(at); } reset(); });
  byId("play").addEventListener("click", play);
  byId("window").addEventListener("change", (event) => { windowText = event.target.value; show(at); });
  let rolled = 0;
  picture.addEventListener("wheel", (event) => {
    if (!paper.hidden) return;
    event.preventDefault();
    if (event.ctrlKey) return zoomBy(Math.exp(-event.deltaY / 300));
    stop();
    rolled += event.deltaMode ? event.deltaY * 40 : event.deltaY;
    const steps = Math.trunc(rolled / 40);
    if (steps) { rolled -= steps * 40; show(at + Math.sign(steps) * Math.min(Math.abs(steps), 3)); }
  }, { passive: false });

  const pointers = new Map();
  let spread = 0, slid = 0;
  picture.addEventListener("pointerdown", (event) => {
    if (!paper.hidden) return;
    picture.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, event);
    spread = slid = 0;
  });
  picture.addEventListener("pointermove", (event) => {
    const before = pointers.get(event.pointerId);
    if (!before) return;
    const dx = event.clientX - before.clientX, dy = event.clientY - before.clientY;
    pointers.set(event.pointerId, event);
    if (pointers.size === 2) {
      const [a, b] = [...pointers.values()];
      const apart = Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY);
      if (spread) zoomBy(apart / spread);
      spread = apart;
    } else if (zoom > 1 && (event.pointerType === "touch" || event.shiftKey || event.buttons & 4)) {
      panX += dx; panY += dy;
    } else if (event.pointerType === "touch") {
      slid += dy;
      const steps = Math.trunc(slid / 14);
      if (steps) { slid -= steps * 14; show(at + steps); }
    } else {
      brightness = Math.min(4, Math.max(0.2, brightness * Math.exp(-dy / 250)));
      contrast = Math.min(6, Math.max(0.2, contrast * Math.exp(dx / 250)));
    }
    redraw();
  });
  for (const end of ["pointerup", "pointercancel"]) {
    picture.addEventListener(end, (event) => { pointers.delete(event.pointerId); spread = 0; });
  }
  picture.addEventListener("dblclick", reset);

  const keys = {
    ArrowDown: () => show(at + 1), ArrowRight: () => show(at + 1), ArrowUp: () => show(at - 1), ArrowLeft: () => show(at - 1),
    PageDown: () => show(at + 10), PageUp: () => show(at - 10), Home: () => show(0), End: () => show(frames.length - 1),
    i: invert, "0": reset, "+": () => zoomBy(1.25), "-": () => zoomBy(0.8), " ": play,
  };
  document.addEventListener("keydown", (event) => {
    const act = keys[event.key];
    if (!act || event.ctrlKey || event.metaKey || event.altKey || event.target.matches("select, input, button")) return;
    event.preventDefault();
    if (event.key !== " ") stop();
    act();
  });
  new ResizeObserver(() => (shown ? redraw() : null)).observe(picture);
  const first = document.querySelector(".series");
  if (first) open(first);
})();
