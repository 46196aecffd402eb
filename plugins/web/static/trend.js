// The trend as one can zoom it, and live. Without this script the page shows the same curves, drawn by the server.
"use strict";
{ // names of its own: page.js is there too
  const chart = document.getElementById("chart");
  const told = JSON.parse(chart.dataset.told);
  const whole = [told.from, told.to]; // milliseconds since 1970
  let shown = whole;
  let series = [];
  let plot = null;

  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const DASHES = [[], [8, 4], [2, 3], [10, 3, 2, 3]]; // colour never alone

  async function load(from, to) {
    const query = new URLSearchParams({ device: told.device, points: 1500 });
    query.set("from_ns", `${Math.floor(from)}000000`);
    query.set("to_ns", `${Math.ceil(to)}000000`);
    for (const tag of told.tags) query.append("tags", tag);
    const answer = await fetch(`/api/v1/history?${query}`, { cache: "no-store" });
    if (!answer.ok) throw new Error((await answer.json()).detail);
    return (await answer.json()).items;
  }

  function columns() {
    const tables = series.map((each) => [each.ts.map((ts) => ts / 1000), each.values]);
    return tables.length > 1 ? uPlot.join(tables) : tables[0];
  }

  function marks(u) {
    const { ctx, bbox } = u;
    ctx.save();
    ctx.lineWidth = 2 * devicePixelRatio;
    ctx.setLineDash([]);
    for (const [ts, kind] of told.events) {
      const x = Math.round(u.valToPos(ts / 1000, "x", true));
      if (x < bbox.left || x > bbox.left + bbox.width) continue;
      ctx.strokeStyle = ctx.fillStyle = colour(`--${kind}`);
      ctx.beginPath();
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.moveTo(x - 6, bbox.top);
      ctx.lineTo(x + 6, bbox.top);
      ctx.lineTo(x, bbox.top + 9);
      ctx.fill();
      ctx.stroke();
    }
    ctx.restore();
  }

  const DATE = "\n{YYYY}-{MM}-{DD}";
  const CLOCK = [ // of uPlot's axis: from how many seconds on, what, and what stands below at a new year, day, minute
    [31536000, "{YYYY}", null, null, null, null, null, null, 1],
    [86400, "{MM}-{DD}", "\n{YYYY}", null, null, null, null, null, 1],
    [60, "{HH}:{mm}", DATE, null, DATE, null, null, null, 1],
    [1, "{HH}:{mm}:{ss}", DATE, null, DATE, null, null, null, 1],
    [0.001, ":{ss}.{fff}", `${DATE} {HH}:{mm}`, null, `${DATE} {HH}:{mm}`, null, "\n{HH}:{mm}", null, 1],
  ];

  function options() {
    const units = [...new Set(series.map((each) => each.unit))];
    const axis = { stroke: colour("--ink"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line") } };
    return {
      width: chart.clientWidth,
      height: Math.max(280, Math.min(520, innerHeight * 0.5)),
      scales: { x: { time: true } },
      axes: [
        { ...axis, values: CLOCK, space: 70 },
        ...units.slice(0, 2).map((unit, at) => ({
          ...axis,
          scale: unit || "–",
          side: at ? 1 : 3,
          label: unit || undefined,
          size: 70,
          grid: at ? { show: false } : axis.grid,
        })),
      ],
      series: [
        { label: told.time, value: (u, at) => (at === null ? "–" : new Date(at * 1000).toLocaleString("sv-SE", { timeZoneName: "short" })) },
        ...series.map((each, at) => ({
          label: each.unit ? `${each.tag} (${each.unit})` : each.tag,
          scale: each.unit || "–",
          stroke: colour(`--c${(at % 6) + 1}`),
          dash: DASHES[at % DASHES.length],
          width: 2,
          value: (u, value) => (value === null || value === undefined ? "–" : String(Number(value.toPrecision(6)))),
        })),
      ],
      cursor: { drag: { x: true, y: false, setScale: false }, bind: { dblclick: () => () => zoom(...whole) } },
      hooks: {
        draw: [marks],
        setSelect: [
          (u) => {
            if (u.select.width < 5) return;
            const [from, to] = [u.select.left, u.select.left + u.select.width].map((x) => u.posToVal(x, "x") * 1000);
            u.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
            zoom(from, to);
          },
        ],
      },
    };
  }

  function draw() {
    if (!series.some((each) => each.ts.length)) return;
    if (plot) {
      plot.setData(columns(), false);
    } else {
      chart.hidden = false;
      document.getElementById("curves").hidden = true;
      plot = new uPlot(options(), columns(), chart);
      new ResizeObserver(() => plot.setSize({ width: chart.clientWidth, height: plot.height })).observe(chart);
    }
    plot.setScale("x", { min: shown[0] / 1000, max: shown[1] / 1000 });
  }

  async function zoom(from, to) {
    const problem = document.getElementById("problem");
    try {
      series = await load(from, to);
      shown = [from, to];
      problem.hidden = true;
      document.getElementById("whole").hidden = from === whole[0] && to === whole[1];
      draw();
    } catch (error) {
      problem.textContent = error.message;
      problem.hidden = false;
    }
  }

  function arrived({ detail: said }) {
    if (said.device !== told.device) return;
    for (const each of series) {
      const got = said.tags[each.tag];
      if (!got || (each.ts.length && got[2] <= each.ts[each.ts.length - 1])) continue;
      each.ts.push(got[2]);
      each.values.push(got[1] && typeof got[0] !== "string" && got[0] !== null ? Number(got[0]) : null);
    }
    const span = whole[1] - whole[0];
    const isWhole = shown === whole || (shown[0] === whole[0] && shown[1] === whole[1]);
    whole[1] = Math.max(whole[1], Date.now());
    whole[0] = whole[1] - span;
    if (!isWhole) return;
    shown = [...whole];
    for (const each of series) {
      const old = each.ts.findIndex((ts) => ts >= whole[0]);
      if (old > 100) each.ts.splice(0, old), each.values.splice(0, old);
    }
    draw();
  }

  document.getElementById("whole").addEventListener("click", () => zoom(...whole));
  zoom(...whole).then(() => {
    if (told.live) document.addEventListener("values", arrived);
  });
}
