// Looks for sections that hold all words, those whose heading holds them first. PAGES stands before this.
const box = document.getElementById("search"), found = document.getElementById("found");
const base = document.documentElement.dataset.base;

function part(text, word) {
  const at = Math.max(0, text.toLowerCase().indexOf(word) - 40);
  return text.slice(at, at + 120);
}

box.addEventListener("input", () => {
  const words = box.value.toLowerCase().split(/\s+/).filter(Boolean);
  found.replaceChildren();
  if (!words.length) return;
  const hits = PAGES.map(([place, heading, text]) => {
    const head = heading.toLowerCase(), all = head + " " + text.toLowerCase();
    return { place, heading, text, rank: words.every((word) => all.includes(word)) ? 1 + 9 * words.filter((word) => head.includes(word)).length : 0 };
  }).filter((hit) => hit.rank).sort((a, b) => b.rank - a.rank).slice(0, 12);
  for (const hit of hits) {
    const link = document.createElement("a"), said = document.createElement("small");
    link.href = base + "/" + hit.place;
    link.textContent = hit.heading;
    said.textContent = part(hit.text, words[0]);
    link.append(said);
    found.append(link);
  }
  if (!hits.length) found.textContent = "Nothing has all of these words.";
});
