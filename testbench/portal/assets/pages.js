// What pages do beside showing: they follow the cluster, and draw the time line.
"use strict";
(function () {
  const live = document.getElementById("live");
  const say = (text) => { if (live) live.textContent = text; };

  // draw draws the time line in the colours of the page.
  let plot = null;
  async function draw() {
    const box = document.getElementById("timeline");
    if (!box || !window.uPlot) return;
    const answer = await fetch(box.dataset.from);
    if (!answer.ok) return;
    const line = await answer.json();
    const style = getComputedStyle(document.documentElement);
    const color = (name) => style.getPropertyValue(name).trim();
    if (line.times.length < 2) {
      box.textContent = "Nothing changed yet: the line begins with the first report of a phone.";
      return;
    }
    const axis = { stroke: color("--quiet"), grid: { stroke: color("--line"), width: 1 }, ticks: { stroke: color("--line") } };
    const step = uPlot.paths.stepped({ align: 1 });
    const series = (label, name, dash) => ({ label: label, stroke: color(name), width: 2, dash: dash, paths: step, points: { show: false } });
    const changes = (u) => {
      u.ctx.save();
      u.ctx.strokeStyle = color("--quiet");
      u.ctx.setLineDash([2, 4]);
      for (const c of line.changes) {
        const x = Math.round(u.valToPos(c.at, "x", true));
        if (x < u.bbox.left || x > u.bbox.left + u.bbox.width) continue;
        u.ctx.beginPath();
        u.ctx.moveTo(x, u.bbox.top);
        u.ctx.lineTo(x, u.bbox.top + u.bbox.height);
        u.ctx.stroke();
      }
      u.ctx.restore();
    };
    const options = {
      width: box.clientWidth, height: 240, tzDate: (t) => uPlot.tzDate(new Date(t * 1000), "Etc/UTC"),
      scales: { y: { range: (u, low, high) => [0, Math.max(1, high)] } },
      axes: [axis, Object.assign({ size: 60, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000, 50000, 100000] }, axis)],
      series: [{ label: "UTC" }, series("served list", "--good"), series("other list", "--bad", [8, 4]), series("no list", "--warn", [2, 3])],
      hooks: { draw: [changes] },
    };
    if (plot) plot.destroy();
    box.textContent = "";
    plot = new uPlot(options, [line.times, line.current, line.older, line.none], box);
  }

  // follow asks for the parts of the page again that follow the cluster, at most one request
  // of each at a time.
  function follow() {
    if (!("data-live" in document.body.attributes) || !window.EventSource) return;
    const parts = () => document.querySelectorAll("[hx-trigger~=changed]");
    if (parts().length === 0) return;
    const source = new EventSource("/stream");
    source.onopen = () => say("live");
    source.onerror = () => say(source.readyState === EventSource.CLOSED ? "not live: load the page again" : "the connection was lost; trying again");
    source.addEventListener("changed", () => {
      parts().forEach((part) => window.htmx && htmx.trigger(part, "changed"));
      draw();
    });
    window.addEventListener("pagehide", () => source.close());
  }

  document.querySelectorAll("[data-copy]").forEach((button) => {
    button.hidden = false;
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
      say("copied");
    });
  });
  let wait = 0;
  window.addEventListener("resize", () => { clearTimeout(wait); wait = setTimeout(draw, 200); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  draw();
  follow();
})();
