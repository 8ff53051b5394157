// The study list keeps itself up to date: more than once a second while somebody looks at it, and while somebody types.
"use strict";
(() => {
  const INTERVAL_MS = 700, TYPING_MS = 200, SLOW_MS = 5000;
  const AWAY_MS = 5 * 60 * 1000; // without a sign of life an open list must not keep a session alive
  const form = document.getElementById("search");
  const rows = document.getElementById("rows");
  const live = document.getElementById("live");
  let etag = "", timer = 0, running = null, seen = Date.now(), page = new URLSearchParams(location.search).get("page");

  const query = () => {
    const fields = new URLSearchParams(new FormData(form));
    for (const [name, value] of [...fields]) if (!value.trim()) fields.delete(name);
    if (page) fields.set("page", page);
    return fields.toString();
  };
  const say = (state) => {
    live.hidden = false;
    live.className = "live" + (state === "live" ? "" : " " + state);
    live.lastElementChild.textContent = live.dataset[state];
  };
  const known = () => new Set([...rows.querySelectorAll("[data-study]")].map((row) => row.dataset.study));

  // Studies without a picture show the icon behind it.
  const hideAbsent = (event) => event.target.matches?.(".thumb img") && event.target.classList.add("absent");
  document.addEventListener("error", hideAbsent, true);
  for (const image of document.querySelectorAll(".thumb img")) {
    if (image.complete && !image.naturalWidth && image.currentSrc) image.classList.add("absent");
  }

  function put(html, isUpdate) {
    const before = known();
    const pictures = new Map([...rows.querySelectorAll(".thumb img")].map((image) => [image.getAttribute("src"), image]));
    const fresh = new DOMParser().parseFromString(html, "text/html").body;
    for (const image of fresh.querySelectorAll(".thumb img")) {
      const old = pictures.get(image.getAttribute("src"));
      if (old) image.replaceWith(old); // already loaded: no flicker, no request
    }
    for (const row of fresh.querySelectorAll("[data-study]")) {
      if (isUpdate && !before.has(row.dataset.study)) row.classList.add("fresh");
    }
    rows.replaceChildren(...fresh.childNodes);
  }

  async function refresh(isUpdate) {
    clearTimeout(timer);
    running?.abort();
    const mine = (running = new AbortController());
    let next = INTERVAL_MS;
    try {
      const answer = await fetch("/list?" + query(), {
        headers: isUpdate && etag ? { "If-None-Match": etag } : {}, redirect: "manual", cache: "no-store", signal: mine.signal,
      });
      if (answer.type === "opaqueredirect") return location.reload(); // the session has ended
      if (answer.status === 200) {
        put(await answer.text(), isUpdate);
        etag = answer.headers.get("ETag") || "";
      } else if (answer.status !== 304) {
        throw new Error(String(answer.status));
      }
      say("live");
    } catch (error) {
      if (mine.signal.aborted) return;
      say("lost");
      next = SLOW_MS;
    }
    schedule(next);
  }

  function schedule(delay) {
    clearTimeout(timer);
    if (document.hidden) return;
    if (Date.now() - seen > AWAY_MS) return say("paused");
    timer = setTimeout(() => refresh(true), delay);
  }
  function wake() {
    const isPaused = Date.now() - seen > AWAY_MS;
    seen = Date.now();
    if (isPaused) refresh(true);
  }
  for (const sign of ["pointerdown", "pointermove", "keydown", "wheel", "touchstart"]) {
    addEventListener(sign, wake, { passive: true });
  }
  live.addEventListener("click", () => refresh(true));
  document.addEventListener("visibilitychange", () => !document.hidden && refresh(true));

  function search() {
    page = null;
    const address = query();
    history.replaceState(null, "", address ? "/?" + address : "/");
    refresh(false);
  }
  form.addEventListener("input", (event) => {
    clearTimeout(timer);
    timer = setTimeout(search, event.target.type === "search" ? TYPING_MS : 0);
  });
  form.addEventListener("submit", (event) => { event.preventDefault(); search(); });
  document.getElementById("clear").addEventListener("click", (event) => {
    event.preventDefault();
    for (const field of form.elements) if (field.name) field.value = "";
    search();
    form.elements.name.focus();
  });
  sessionStorage.setItem("list", location.search);
  addEventListener("pagehide", () => sessionStorage.setItem("list", location.search));
  schedule(INTERVAL_MS);
})();
