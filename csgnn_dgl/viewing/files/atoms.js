// The page of a structure. A click on an atom shows its surroundings and its own curve.

function draw(data) {
  const place = [0, 1, 2].map((k) => column(data.positions, k));
  const count = place[0].length;
  const kinds = Array.from(data.of.values);
  const names = kinds.map((kind, i) => `${data.symbols[kind]} ${i}`);
  const detailed = data.around.counts.shape[0];
  const scores = data.curves && data.curves.scores ? Array.from(data.curves.scores.values) : null;
  const bold = count > 300 ? 6 : count > 30 ? 13 : 24;
  const sizes = kinds.map((kind) => bold * (0.6 + 0.5 * data.radii[kind]));
  const starts = (counts) => {
    const found = [0];
    counts.values.forEach((number) => found.push(found[found.length - 1] + number));
    return found;
  };
  const firstNeighbour = starts(data.around.counts), firstSite = starts(data.around.filled);
  let camera;

  // Lines between pairs of ends (n, 2, 3).
  function lines(ends, line, keep = () => true) {
    const trace = { type: "scatter3d", mode: "lines", x: [], y: [], z: [], line, hoverinfo: "skip" };
    for (let i = 0; i < ends.shape[0]; i += 1) {
      if (!keep(i)) continue;
      ["x", "y", "z"].forEach((axis, k) => {
        trace[axis].push(ends.values[6 * i + k], ends.values[6 * i + 3 + k], null);
      });
    }
    return trace;
  }

  // Images of atoms that are bonded across the boundary of the cell.
  const images = { x: [], y: [], z: [], of: [] };
  data.image.values.forEach((atom, i) => {
    if (atom < 0) return;
    ["x", "y", "z"].forEach((axis, k) => images[axis].push(data.bonds.values[6 * i + 3 + k]));
    images.of.push(atom);
  });

  const bounds = [0, 1, 2].map((k) => {
    const ends = [...place[k], ...images[["x", "y", "z"][k]]];
    for (let i = k; i < data.cell.values.length; i += 3) ends.push(data.cell.values[i]);
    return ends.reduce(([low, high], x) => [Math.min(low, x), Math.max(high, x)], [Infinity, -Infinity]);
  });
  const middle = bounds.map(([low, high]) => (low + high) / 2);
  const half = Math.max(1, ...bounds.map(([low, high]) => 0.52 * (high - low)));

  function structure(chosen) {
    const marker = { size: sizes, opacity: 1, line: { color: "#555", width: 0.5 } };
    const byScore = element("paint").value === "score";
    if (byScore) {
      Object.assign(marker, {
        color: scores, cmin: 0, cmax: 2, colorscale: [[0, "#4477aa"], [0.5, "#eeeeee"], [1, "#b2182b"]],
        colorbar: { thickness: 12, len: 0.6, tickvals: [0, 1, 2], ticktext: ["0", "1: limit", "≥ 2"] },
      });
    } else {
      marker.color = kinds.map((kind) => data.colors[kind]);
    }
    const text = names.map((name, i) => (scores ? `${name}, score ${format(scores[i])}` : name));
    const ring = {
      type: "scatter3d", mode: "markers", x: [place[0][chosen]], y: [place[1][chosen]],
      z: [place[2][chosen]], hoverinfo: "skip",
      marker: { size: 1.5 * sizes[chosen], color: "#ffbe00", opacity: 0.35, line: { width: 0 } },
    };
    return Plotly.react("structure", [
      {
        type: "scatter3d", mode: "markers", x: place[0], y: place[1], z: place[2], marker, text,
        hovertemplate: "%{text}<extra></extra>",
      },
      ring,
      lines(data.bonds, { color: "#999", width: 4 }, (i) => data.image.values[i] < 0),
      lines(data.bonds, { color: "#ddd", width: 4 }, (i) => data.image.values[i] >= 0),
      lines(data.cell, { color: "#4477aa", width: 2 }),
      {
        type: "scatter3d", mode: "markers", x: images.x, y: images.y, z: images.z,
        text: images.of.map((atom) => `image of ${names[atom]}`),
        hovertemplate: "%{text}<extra></extra>",
        marker: {
          size: images.of.map((atom) => 0.6 * sizes[atom]), opacity: 0.45, line: { width: 0 },
          color: images.of.map((atom) => data.colors[kinds[atom]]),
        },
      },
    ], space(half, camera, middle), PLAIN);
  }

  function around(chosen) {
    const sphere = Number(element("sphere").value);
    const radius = sphere ? data.shells[sphere - 1] : data.cutoff;
    const width = data.shells.length > 1 ? data.shells[1] - data.shells[0] : data.cutoff;
    element("sphere-now").textContent = sphere ? `${sphere}: ${format(radius)} Å` : "all";
    element("name").textContent = names[chosen];
    const traces = [sphereAt(radius), {
      type: "scatter3d", mode: "markers", x: [0], y: [0], z: [0],
      marker: { size: 12, color: data.colors[kinds[chosen]], line: { color: "#e6a700", width: 3 } },
      hovertemplate: `${names[chosen]}<extra></extra>`,
    }];
    const about = [];
    if (scores) about.push(`out-of-domain score ${format(scores[chosen])} (above 1: outside)`);
    if (chosen >= detailed) {
      about.push(`only the first ${detailed} atoms have details on this page`);
    } else {
      const near = { x: [], y: [], z: [], color: [], text: [] };
      let total = 0;
      for (let i = firstNeighbour[chosen]; i < firstNeighbour[chosen + 1]; i += 1) {
        const vector = [0, 1, 2].map((k) => data.around.step * data.around.vectors.values[3 * i + k]);
        const distance = Math.hypot(...vector), kind = data.around.elements.values[i];
        total += 1;
        // Half a width, and the share of a neighbour in the next shell.
        if (sphere && Math.abs(distance - radius) > width) continue;
        ["x", "y", "z"].forEach((axis, k) => near[axis].push(vector[k]));
        near.color.push(data.colors[kind]);
        near.text.push(`${data.symbols[kind]} at ${distance.toFixed(3)} Å`);
      }
      about.push(`${total} neighbours within ${format(data.cutoff)} Å`);
      if (element("neighbours").checked) {
        traces.push({
          type: "scatter3d", mode: "markers", x: near.x, y: near.y, z: near.z, text: near.text,
          hovertemplate: "%{text}<extra></extra>",
          marker: { size: 6, color: near.color, opacity: 1, line: { color: "#555", width: 0.5 } },
        });
      }
      if (element("filled").checked) traces.push(sitesOf(chosen, sphere));
    }
    element("about").textContent = about.join("; ");
    return Plotly.react("around", traces, space(data.cutoff, camera), PLAIN);
  }

  function sitesOf(chosen, sphere) {
    const sites = { x: [], y: [], z: [], color: [], text: [] };
    for (let i = firstSite[chosen]; i < firstSite[chosen + 1]; i += 1) {
      const shell = data.around.shells.values[i], vertex = data.around.vertices.values[i];
      if (sphere && shell + 1 !== sphere) continue;
      const weight = (data.around.highest * data.around.weights.values[i]) / 255;
      ["x", "y", "z"].forEach((axis, k) => {
        sites[axis].push(data.shells[shell] * data.vertices.values[3 * vertex + k]);
      });
      sites.color.push(weight);
      sites.text.push(`vertex ${vertex}, sphere ${shell + 1}`);
    }
    const highest = Math.max(...sites.color, 1e-30);
    return {
      type: "scatter3d", mode: "markers", x: sites.x, y: sites.y, z: sites.z, text: sites.text,
      hovertemplate: "%{text}: weight %{marker.color:.3g}<extra></extra>",
      marker: {
        symbol: "diamond", color: sites.color, cmin: 0, cmax: highest, colorscale: "Viridis",
        size: sites.color.map((weight) => 2 + 5 * Math.sqrt(weight / highest)),
        colorbar: { title: { text: "weight" }, thickness: 12, len: 0.6, x: 1, tickformat: ".2~g" },
      },
    };
  }

  function curves(chosen) {
    const shown = data.curves;
    if (!shown) return null;
    element("densities").hidden = false;
    const line = (y, name, color, more = {}) => ({
      type: "scatter", mode: "lines", x: shown.energies, y, name, line: { color, width: 1.8, ...more },
    });
    const traces = [line(shown.total, "structure (mean of atoms)", "#222")];
    if (shown.reference) traces.push(line(shown.reference, "reference in the file", "#888", { dash: "dot" }));
    if (chosen < detailed) {
      const bins = shown.energies.length;
      const own = data.own.values.subarray(chosen * bins, (chosen + 1) * bins);
      traces.push(line(Array.from(own), names[chosen], "#cc6677"));
    }
    const [shapes, annotations] = [[], []];
    if (shown.fermi_level !== null) {
      const at = shown.fermi_level, half = shown.fermi_half;
      if (half !== null) {
        shapes.push({
          type: "rect", yref: "paper", x0: at - half, x1: at + half, y0: 0, y1: 1,
          fillcolor: "#4477aa", opacity: 0.15, line: { width: 0 },
        });
      }
      shapes.push({
        type: "line", yref: "paper", x0: at, x1: at, y0: 0, y1: 1,
        line: { color: "#4477aa", width: 1.5, dash: "dash" },
      });
      const gap = shown.gap ? `, gap ${format(shown.gap)} ${shown.energy_unit}` : ", no gap";
      annotations.push({
        x: 1, xref: "paper", xanchor: "right", y: 1, yref: "paper", yanchor: "bottom",
        showarrow: false, font: { color: "#4477aa" },
        text: `Fermi level ${at.toFixed(2)} ${shown.energy_unit}${gap}`,
      });
    }
    return Plotly.react("curves", traces, {
      margin: { l: 58, r: 12, t: 24, b: 78 }, font: FONT, shapes, annotations, hovermode: "x unified",
      legend: { orientation: "h", x: 0, y: -0.24, yanchor: "top" },
      xaxis: {
        title: { text: broken(`energy [${shown.energy_unit}], zero: ${shown.zero}`, 50) },
        range: [shown.energies[0], shown.energies[shown.energies.length - 1]], zeroline: false,
      },
      yaxis: {
        rangemode: "tozero", title: { text: broken(`${shown.quantity} DOS [${shown.dos_unit}]`, 30) },
      },
    }, { ...PLAIN, displayModeBar: false });
  }

  const chosenAtom = () => {
    const number = Math.round(Number(element("atom").value)) || 0;
    return Math.min(Math.max(number, 0), count - 1);
  };
  const choose = (atom) => {
    element("atom").value = atom;
    return Promise.all([structure(atom), around(atom), curves(atom)]);
  };

  element("atom").max = count - 1;
  element("sphere").max = data.shells.length;
  option(element("paint"), "element", "element");
  data.symbols.forEach((symbol, kind) => {
    const sample = document.createElement("span");
    sample.textContent = "●";
    sample.style.color = data.colors[kind];
    element("elements").append(sample, ` ${symbol} `);
  });
  if (scores) option(element("paint"), "score", "out-of-domain score");
  element("atom").addEventListener("change", () => choose(chosenAtom()));
  element("paint").addEventListener("input", () => structure(chosenAtom()));
  ["sphere", "neighbours", "filled"].forEach((id) => {
    element(id).addEventListener("input", () => around(chosenAtom()));
  });
  return choose(0).then(() => {
    element("structure").on("plotly_click", (event) => {
      // The first trace holds the atoms, the last their images.
      const point = event.points[0];
      const atom = { 0: point.pointNumber, 5: images.of[point.pointNumber] }[point.curveNumber];
      // A scene cannot be drawn anew while it is being drawn, which is when it reports a click.
      // While the button is down, every drawing reports it again.
      if (atom !== undefined && atom !== chosenAtom()) setTimeout(() => choose(atom), 0);
    });
    let following = false;
    [["structure", "around"], ["around", "structure"]].forEach(([from, to]) => {
      element(from).on("plotly_relayout", async (change) => {
        if (following || !change["scene.camera"]) return;
        following = true;
        camera = change["scene.camera"];
        await Plotly.relayout(to, { "scene.camera": camera });
        following = false;
      });
    });
  });
}
