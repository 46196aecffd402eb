// What changes while one looks. Without this script the page says the same, as of when it was loaded.
"use strict";

const SILENT = 6000; // milliseconds
const lost = document.getElementById("lost");
const heard = {}; // what keeps the page true, and when it last came

function look() {
  if (document.hidden) return;
  const since = Math.min(...Object.values(heard));
  const silent = Date.now() - since > SILENT;
  lost.hidden = !silent;
  if (silent) lost.textContent = lost.dataset.text.replace("{}", new Date(since).toLocaleTimeString("sv-SE"));
  document.body.classList.toggle("lost", silent);
}

function local(root) {
  for (const each of root.querySelectorAll("time")) {
    const [day, at, ...zone] = new Date(each.dateTime).toLocaleString("sv-SE", { timeZoneName: "short" }).split(" ");
    each.textContent = ("clock" in each.dataset ? [at, ...zone] : [day, at, ...zone]).join(" "); // ISO 8601: every country reads it
  }
}

async function renew() {
  if (!overview || document.hidden) return;
  try {
    const answer = await fetch("/parts", { cache: "no-store" });
    if (answer.status === 401) return location.reload();
    if (!answer.ok) throw new Error(answer.status);
    const parts = await answer.json();
    for (const [id, html] of Object.entries(parts)) {
      const place = document.getElementById(id);
      if (!place || place.dataset.html === html || place.contains(document.activeElement)) continue;
      if (place.querySelector("details[open]")) continue; // somebody is about to write in it
      place.innerHTML = html; // made and escaped by the gateway, as the page itself
      place.dataset.html = html;
      local(place);
    }
    heard.parts = Date.now();
  } catch {
    // look() says so, once it lasts
  }
}

const row = (cell) => cell.closest("[data-row]") ?? cell.closest("tr");
const cells = new Map();
for (const cell of document.querySelectorAll("[data-tag]")) {
  cells.set(JSON.stringify([cell.dataset.device, cell.dataset.tag]), cell);
}
const seen = new Map();
for (const cell of cells.values()) {
  const age = row(cell).querySelector("[data-age]");
  if (age.dataset.age !== "") seen.set(cell, Date.now() - 1000 * Number(age.dataset.age));
}

function shown(value) {
  if (value === null) return "–";
  if (typeof value === "number" && !Number.isInteger(value)) return String(Number(value.toPrecision(6)));
  return String(value).slice(0, 200);
}

function duration(seconds) {
  const whole = Math.round(seconds);
  for (const [size, name, below, belowName] of [[86400, "d", 3600, "h"], [3600, "h", 60, "min"], [60, "min", 1, "s"]]) {
    if (whole < size) continue;
    const rest = Math.floor((whole % size) / below);
    return `${Math.floor(whole / size)} ${name}${rest ? ` ${rest} ${belowName}` : ""}`; // as the gateway says it
  }
  return `${whole} s`;
}

function values(said) {
  for (const [name, [value, good, , quality]] of Object.entries(said.tags)) {
    const cell = cells.get(JSON.stringify([said.device, name]));
    if (!cell) continue;
    const text = shown(value);
    if (cell.textContent !== text) cell.textContent = text;
    cell.classList.toggle("stale", !good);
    const words = row(cell).querySelector("[data-quality]");
    words.textContent = quality ?? "good";
    words.classList.toggle("stale", !good);
    if (good) seen.set(cell, Date.now());
  }
}

function listen() {
  const devices = new Set([...cells.values()].map((cell) => cell.dataset.device));
  const only = devices.size === 1 ? `?device=${encodeURIComponent([...devices][0])}` : "";
  const stream = new EventSource(`/api/v1/stream/values${only}`);
  const beat = () => (heard.stream = Date.now());
  stream.addEventListener("alive", beat);
  stream.addEventListener("values", (event) => {
    beat();
    const said = JSON.parse(event.data);
    values(said);
    document.dispatchEvent(new CustomEvent("values", { detail: said })); // for the trend
  });
  stream.addEventListener("news", renew);
  stream.addEventListener("error", () => {
    if (stream.readyState === EventSource.CLOSED) setTimeout(listen, 5000); // it was refused; else the browser tries again
  });
}

const overview = document.getElementById("headline");
if (overview) {
  heard.parts = Date.now();
  setInterval(renew, 2000);
  document.addEventListener("visibilitychange", () => {
    heard.parts = Date.now(); // nobody looked meanwhile, so nothing was asked for
    renew();
  });
}
if (cells.size || overview) {
  heard.stream = Date.now();
  listen();
  setInterval(look, 1000);
}
setInterval(() => {
  for (const [cell, at] of seen) {
    const age = row(cell).querySelector("[data-age]");
    const text = duration((Date.now() - at) / 1000);
    if (age.textContent !== text) age.textContent = text;
  }
}, 1000);
local(document);
