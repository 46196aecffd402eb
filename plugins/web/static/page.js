// What changes while one looks. Without this script the page says the same, as of when it was loaded.
"use strict";

const lost = document.getElementById("lost");
let since = Date.now();

function reached(ok) {
  if (ok) since = Date.now();
  const silent = Date.now() - since > 6000;
  lost.hidden = !silent;
  if (silent) lost.textContent = lost.dataset.text.replace("{}", new Date(since).toLocaleTimeString());
  document.body.classList.toggle("stale", silent);
}

function local(root) {
  for (const each of root.querySelectorAll("time")) {
    each.textContent = new Date(each.dateTime).toLocaleString([], { timeZoneName: "short" });
  }
}

async function renew() {
  try {
    const answer = await fetch("/parts", { cache: "no-store" });
    if (answer.status === 401) return location.reload();
    if (!answer.ok) throw new Error(answer.status);
    const parts = await answer.json();
    for (const [id, html] of Object.entries(parts)) {
      const place = document.getElementById(id);
      if (!place || place.dataset.html === html || place.contains(document.activeElement)) continue;
      place.innerHTML = html; // made and escaped by the gateway, as the page itself
      place.dataset.html = html;
      local(place);
    }
    reached(true);
  } catch {
    reached(false);
  }
}

const cells = new Map();
for (const cell of document.querySelectorAll("td[data-tag]")) {
  cells.set(JSON.stringify([cell.dataset.device, cell.dataset.tag]), cell);
}
const seen = new Map();
for (const cell of cells.values()) {
  const age = cell.parentElement.querySelector("[data-age]");
  if (age.dataset.age !== "") seen.set(cell, Date.now() - 1000 * Number(age.dataset.age));
}

function shown(value) {
  if (value === null) return "–";
  if (typeof value === "number" && !Number.isInteger(value)) return String(Number(value.toPrecision(6)));
  return String(value).slice(0, 200);
}

function duration(seconds) {
  if (seconds < 120) return `${Math.round(seconds)} s`;
  return seconds < 7200 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds / 3600)} h`;
}

function values(event) {
  const said = JSON.parse(event.data);
  for (const [name, [value, good, , quality]] of Object.entries(said.tags)) {
    const cell = cells.get(JSON.stringify([said.device, name]));
    if (!cell) continue;
    const text = shown(value);
    if (cell.textContent !== text) cell.textContent = text;
    cell.classList.toggle("stale", !good);
    const words = cell.parentElement.querySelector("[data-quality]");
    words.textContent = quality ?? "good";
    words.classList.toggle("stale", !good);
    if (good) seen.set(cell, Date.now());
  }
}

if (cells.size) {
  const devices = new Set([...cells.values()].map((cell) => cell.dataset.device));
  const only = devices.size === 1 ? `?device=${encodeURIComponent([...devices][0])}` : "";
  new EventSource(`/api/v1/stream/values${only}`).addEventListener("values", values);
}
setInterval(() => {
  for (const [cell, at] of seen) {
    const age = cell.parentElement.querySelector("[data-age]");
    age.textContent = duration((Date.now() - at) / 1000);
  }
}, 1000);
if (document.getElementById("headline")) setInterval(renew, 2000);
local(document);
