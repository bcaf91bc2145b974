// Draws the figures of a page from the numbers behind them, and again as these change. No word of ours is markup here.
"use strict";
(() => {
  const EVERY_MS = 10000;
  const HEIGHT = 250;
  const drawn = new Map();
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const colours = () => ["--first", "--second", "--third", "--fourth", "--fifth"].map(colour);

  const shade = (bounds) => (u) => {
    if (!bounds) return;
    const { left, top, width, height } = u.bbox;
    const at = (value, fallback) => (value === null ? fallback : Math.min(Math.max(u.valToPos(value, "x", true), left), left + width));
    const from = at(bounds[0], left);
    const to = at(bounds[1], left + width);
    u.ctx.save();
    u.ctx.fillStyle = colour("--target");
    u.ctx.fillRect(from, top, Math.max(to - from, 0), height);
    u.ctx.restore();
  };

  // Room at the ends for bars and points, and for a single x.
  const spread = (data) => (u, low, high) => {
    const is_line = data.lines.every((line) => line.style === "step");
    const pad = high === low ? 0.5 : is_line ? 0 : (high - low) * 0.04;
    return [low - pad, high + pad];
  };

  const paths = (style) => {
    if (style === "step") return uPlot.paths.stepped({ align: 1 });
    if (style === "bars") return uPlot.paths.bars({ size: [0.9, 60] });
    if (style === "points") return () => null;
    return uPlot.paths.linear();
  };

  const draw = (figure, data) => {
    const place = figure.querySelector(".canvas");
    figure.querySelector(".note").textContent = data.x.length ? data.note : "Nothing to draw yet.";
    const palette = colours();
    const axis = { stroke: colour("--quiet"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line"), width: 1 }, font: "12px system-ui, sans-serif", labelFont: "12px system-ui, sans-serif", labelSize: 20 };
    let next = 0;
    const lines = data.lines.map((line) => {
      const ink = line.is_control ? colour("--control") : palette[next++ % palette.length];
      const made = { label: line.title, stroke: ink, width: 1.6, paths: paths(line.style), points: { show: line.style === "points", size: 4, fill: ink, stroke: ink } };
      if (line.is_control) made.dash = [6, 4];
      if (line.style === "bars") made.fill = ink + "66";
      return made;
    });
    const options = {
      width: place.clientWidth || 400,
      height: HEIGHT,
      scales: { x: { time: false, range: spread(data) }, y: { range: { min: { pad: 0.05, soft: 0, mode: 3 }, max: { pad: 0.08 } } } },
      axes: [{ ...axis, label: data.x_title, size: 42 }, { ...axis, label: data.y_title, size: 56 }],
      series: [{ label: data.x_title }, ...lines],
      legend: { live: true },
      hooks: { drawClear: [shade(data.shaded)] },
    };
    const kept = drawn.get(figure);
    if (kept && kept.plot) kept.plot.destroy();
    place.replaceChildren();
    const plot = data.x.length ? new uPlot(options, [data.x, ...data.lines.map((line) => line.values)], place) : null;
    drawn.set(figure, { plot, data, words: JSON.stringify(data) });
  };

  const refresh = async (figure) => {
    try {
      const answer = await fetch(figure.dataset.src, { headers: { accept: "application/json" } });
      if (answer.status === 401) return location.reload();
      if (!answer.ok) return;
      const data = await answer.json();
      const kept = drawn.get(figure);
      if (!kept || kept.words !== JSON.stringify(data)) draw(figure, data);
    } catch (error) {
      offline(true);
      return;
    }
    offline(false);
  };

  const offline = (is) => { document.getElementById("offline").hidden = !is; };
  const figures = () => [...document.querySelectorAll("figure.plot")];
  const again = () => drawn.forEach((kept, figure) => { if (figure.isConnected) draw(figure, kept.data); else drawn.delete(figure); });

  document.addEventListener("DOMContentLoaded", () => {
    figures().forEach(refresh);
    setInterval(() => { if (!document.hidden) figures().forEach(refresh); }, EVERY_MS);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
    let wait;
    addEventListener("resize", () => { clearTimeout(wait); wait = setTimeout(again, 150); });
    document.body.addEventListener("htmx:beforeRequest", (event) => { if (document.hidden && event.detail.requestConfig.triggeringEvent === undefined) event.preventDefault(); });
    document.body.addEventListener("htmx:responseError", (event) => { if (event.detail.xhr.status === 401) location.reload(); });
    document.body.addEventListener("htmx:sendError", () => offline(true));
    document.body.addEventListener("htmx:afterRequest", (event) => { if (event.detail.successful) offline(false); });
  });
})();
