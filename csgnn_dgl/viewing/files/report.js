// The page of a run.

function draw(data) {
  const flat = { ...PLAIN, modeBarButtons: [["toImage", "zoom2d", "resetScale2d"]] };

  function curves() {
    const [traces, layout] = [[], {
      margin: { l: 60, r: 15, t: 30, b: 42 }, font: FONT, annotations: [], shapes: [],
      legend: { orientation: "h", x: 0, y: 1.22, yanchor: "top" },
      grid: { rows: 1, columns: data.curves.length, pattern: "independent", xgap: 0.18 },
    }];
    data.curves.forEach((panel, index) => {
      const n = index ? index + 1 : "";
      panel.series.forEach((series, k) => {
        traces.push({
          type: "scatter", mode: data.epochs.length < 3 ? "lines+markers" : "lines", x: data.epochs,
          y: series.values, name: series.name, xaxis: `x${n}`, yaxis: `y${n}`,
          line: { color: panel.series.length < 2 ? "#444" : ["#4477aa", "#cc6677"][k], width: 1.8 },
          legendgroup: series.name, showlegend: index === 0,
          hovertemplate: `epoch %{x}: %{y:.4~g}<extra>${series.name}</extra>`,
        });
      });
      layout[`xaxis${n}`] = { title: { text: "epoch" }, rangemode: "tozero" };
      layout[`yaxis${n}`] = {
        title: { text: broken(panel.unit, 30), standoff: 4 }, type: panel.log ? "log" : "linear",
        rangemode: panel.log ? "normal" : "tozero", automargin: true,
      };
      layout.annotations.push({
        text: `<b>${panel.title}</b>`, x: 0.5, y: 1, xref: `x${n} domain`, yref: `y${n} domain`,
        xanchor: "center", yanchor: "bottom", showarrow: false,
      });
      if (data.kept) {
        layout.shapes.push({
          type: "line", xref: `x${n}`, yref: `y${n} domain`, x0: data.kept, x1: data.kept, y0: 0, y1: 1,
          line: { color: "#999", width: 1, dash: "dot" },
        });
      }
    });
    return Plotly.newPlot("curves", traces, layout, flat);
  }

  function confusion() {
    element("matrix").hidden = false;
    const { names, counts } = data.confusion;
    const totals = counts.map((row) => row.reduce((sum, count) => sum + count, 0));
    const shares = counts.map((row, i) => row.map((count) => (totals[i] ? (100 * count) / totals[i] : 0)));
    const text = counts.map((row) => row.map((count) => (count ? `${count}` : "")));
    const hover = counts.map((row, i) => row.map((count, j) => (i === j ?
      `${names[i]}: ${count} of ${totals[i]} right` :
      `${names[i]} taken for ${names[j]}: ${count} of ${totals[i]}`)));
    const cell = Math.max(20, Math.min(44, 420 / names.length));
    const longest = Math.max(...names.map((name) => name.length));
    const edge = Math.min(30 + 7 * longest, 260), side = Math.max(cell * names.length, 160);
    const axis = {
      type: "category", tickmode: "array", tickvals: names, ticks: "", showgrid: false,
      fixedrange: true, tickfont: { size: names.length > 20 ? 11 : 12 },
    };
    element("confusion").style.width = `${side + edge + 110}px`;
    element("confusion").style.height = `${side + edge + 20}px`;
    return Plotly.newPlot("confusion", [{
      type: "heatmap", x: names, y: names, z: shares, text, hovertext: hover, zmin: 0, zmax: 100,
      texttemplate: "%{text}", textfont: { size: names.length > 20 ? 10 : 12 }, xgap: 1, ygap: 1,
      hovertemplate: "%{hovertext}<extra></extra>",
      colorscale: [[0, "#f3f5f9"], [0.02, "#dbe6f3"], [0.5, "#6d9fd0"], [1, "#08306b"]],
      colorbar: { thickness: 12, len: 0.7, title: { text: "%" } },
    }], {
      margin: { l: edge, r: 90, t: 10, b: edge }, font: FONT,
      xaxis: { ...axis, tickangle: -90, title: { text: "answer" } },
      yaxis: { ...axis, autorange: "reversed", title: { text: "true class" } },
    }, { ...flat, responsive: false, modeBarButtons: [["toImage"]] });
  }

  function parity() {
    element("energies").hidden = false;
    const { groups, unit } = data.parity;
    const all = groups.flatMap((group) => [...group.reference, ...group.predicted]);
    const ends = all.reduce(([low, high], x) => [Math.min(low, x), Math.max(high, x)], [Infinity, -Infinity]);
    const traces = groups.map((group, index) => ({
      type: "scatter", mode: "markers", x: group.reference, y: group.predicted, name: group.name,
      text: group.names, marker: { size: 6, color: COLORS[index % COLORS.length], opacity: 0.75 },
      hovertemplate: "%{text}<br>reference %{x:.4f}, predicted %{y:.4f}<extra></extra>",
    }));
    traces.unshift({
      type: "scatter", mode: "lines", x: ends, y: ends, line: { color: "#888", width: 1 },
      hoverinfo: "skip", showlegend: false,
    });
    return Plotly.newPlot("parity", traces, {
      margin: { l: 70, r: 20, t: 10, b: 48 }, font: FONT,
      xaxis: { title: { text: `reference [${unit}]` } },
      yaxis: { title: { text: `predicted [${unit}]` } },
    }, flat);
  }

  const drawn = [];
  if (data.epochs.length) drawn.push(curves());
  if (data.confusion) drawn.push(confusion());
  if (data.parity) drawn.push(parity());
  return Promise.all(drawn);
}
