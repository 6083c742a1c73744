"use strict";
// Draws each plot in the colours of the page, and again when the page becomes dark, light, or paper.
(() => {
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  function inColours(layout) {
    const axis = { gridcolor: colour("--line"), linecolor: colour("--line"), zerolinecolor: colour("--line") };
    const changed = {
      ...layout, autosize: true, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: { ...layout.font, color: colour("--text") },
    };
    const names = new Set(["xaxis", "yaxis", ...Object.keys(layout).filter((name) => /^[xy]axis\d*$/.test(name))]);
    for (const name of names) changed[name] = { ...layout[name], ...axis };
    return changed;
  }

  function drawAll() {
    for (const data of document.querySelectorAll("script[data-plot]")) {
      const { data: traces, layout } = JSON.parse(data.textContent);
      const config = { displayModeBar: false, responsive: true };
      const isOnPaper = data.closest(".wide") !== null;
      Plotly.react(data.dataset.plot, traces, isOnPaper ? layout : inColours(layout), config);
    }
  }

  drawAll();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
  matchMedia("print").addEventListener("change", drawAll);
})();
