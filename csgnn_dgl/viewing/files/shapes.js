// The page of a shape. Sphere r has the radius (r + 1) / R.

function draw(data) {
  const points = [0, 1, 2].map((k) => column(data.points, k));
  const size = points[0].length > 4000 ? 2 : 3.5;
  let camera; // one for both scenes

  function paint() {
    const chosen = element("paint").value;
    const marker = { size, opacity: 1 };
    if (chosen === "radius") {
      marker.color = points[0].map((x, i) => Math.hypot(x, points[1][i], points[2][i]));
      Object.assign(marker, { colorscale: "Viridis", cmin: 0, cmax: 1 });
    } else {
      const count = points[0].length, row = Number(chosen);
      const values = data.shares.values.slice(row * count, (row + 1) * count);
      const reach = reachOf(values);
      // Red speaks for the class, blue against it.
      Object.assign(marker, {
        color: Array.from(values), colorscale: DIVERGING, cmin: -reach, cmax: reach,
      });
      marker.colorbar = {
        thickness: 12, len: 0.7, x: 1, tickvals: [-reach, 0, reach],
        ticktext: ["against", "0", `for<br>${data.classes[chosen]}`],
      };
    }
    const text = chosen === "radius" ? "distance from the centre" : "share in the score";
    const trace = {
      type: "scatter3d", mode: "markers", x: points[0], y: points[1], z: points[2], marker,
      hovertemplate: `${text} %{marker.color:.3g}<extra></extra>`,
    };
    element("method").textContent = chosen === "radius" ? "" :
      `Red points speak for ${data.classes[chosen]}: without them its score would be lower. ` +
      `Method: ${data.method}.`;
    return Plotly.react("cloud", [trace], space(1, camera), PLAIN);
  }

  // The first row of a layer is the root mean square of its channels.
  function rowOf(layer, row) {
    const sites = layer.values.shape[1];
    const span = (layer.high[row] - layer.low[row]) / 255;
    return Array.from(layer.values.values.subarray(row * sites, (row + 1) * sites),
      (step) => layer.low[row] + span * step);
  }

  // Vertex and sphere of every site: vertex by vertex, and within a vertex the spheres that have it.
  function placesOf(layer) {
    const counts = layer.spheres.map((level) => 10 * 4 ** level + 2), places = [];
    for (let vertex = 0; vertex < Math.max(...counts); vertex += 1) {
      counts.forEach((count, shell) => {
        if (vertex < count) places.push([vertex, shell]);
      });
    }
    return places;
  }

  function layersOfLevel() {
    const level = Number(element("level").value);
    element("level-now").textContent = `${level}`;
    element("layer").replaceChildren();
    data.layers.forEach((layer, index) => {
      if (layer.level === level) option(element("layer"), index, layer.name);
    });
    return channelsOfLayer();
  }

  function channelsOfLayer() {
    const layer = data.layers[element("layer").value];
    element("channel").replaceChildren();
    option(element("channel"), 0, `all ${layer.channels} (root mean square)`);
    layer.kept.forEach((channel, index) => option(element("channel"), index + 1, `${channel}`));
    return sites();
  }

  function sites() {
    const layer = data.layers[element("layer").value];
    const row = Number(element("channel").value), sphere = Number(element("sphere").value);
    element("sphere-now").textContent = sphere ? `${sphere} of ${data.spheres}` : "all";
    const values = rowOf(layer, row), places = placesOf(layer);
    const shown = { x: [], y: [], z: [], color: [], text: [] };
    let hidden = 0;
    values.forEach((value, site) => {
      const [vertex, shell] = places[site];
      if (sphere && shell + 1 !== sphere) return;
      if (value === 0 && !element("zeros").checked) {
        hidden += 1;
        return;
      }
      const radius = (shell + 1) / data.spheres;
      ["x", "y", "z"].forEach((axis, k) => {
        shown[axis].push(radius * data.vertices.values[3 * vertex + k]);
      });
      shown.color.push(value);
      shown.text.push(`vertex ${vertex}, sphere ${shell + 1}`);
    });
    const signed = layer.low[row] < 0;
    const reach = Math.max(Math.abs(layer.low[row]), Math.abs(layer.high[row]), 1e-30);
    const traces = [{
      type: "scatter3d", mode: "markers", x: shown.x, y: shown.y, z: shown.z, text: shown.text,
      hovertemplate: "%{text}: %{marker.color:.3g}<extra></extra>",
      marker: {
        size: shown.color.map((value) => 2.5 + (5 * Math.abs(value)) / reach), color: shown.color,
        colorscale: signed ? DIVERGING : "Viridis", cmin: signed ? -reach : 0, cmax: reach,
        line: { width: 0 },
        colorbar: { thickness: 12, len: 0.7, x: 1, tickformat: ".2~g" },
      },
    }, sphereAt(sphere ? sphere / data.spheres : 1)];
    if (element("beside").checked) {
      traces.push({
        type: "scatter3d", mode: "markers", x: points[0], y: points[1], z: points[2],
        hoverinfo: "skip", marker: { size: 1.5, color: "#888", opacity: 0.6 },
      });
    }
    element("count").textContent = `${shown.x.length} sites` +
      (hidden ? `; ${hidden} more are zero` : "");
    return Plotly.react("sites", traces, space(1, camera), PLAIN);
  }

  // Turning one scene turns the other.
  let following = false;
  function follow(from, to) {
    element(from).on("plotly_relayout", async (change) => {
      if (following || !change["scene.camera"]) return;
      following = true;
      camera = change["scene.camera"];
      await Plotly.relayout(to, { "scene.camera": camera });
      following = false;
    });
  }

  function bars() {
    element("answer").hidden = false;
    const count = Math.min(data.classes.length, 12);
    const shares = data.probabilities.slice(0, count).map((share) => 100 * share);
    const trace = {
      type: "bar", orientation: "h", x: shares, y: data.classes.slice(0, count),
      marker: { color: data.outside ? "#bbb" : "#4477aa" }, text: shares.map((x) => `${x.toFixed(1)} %`),
      textposition: "auto", cliponaxis: false, hovertemplate: "%{y}: %{x:.3f} %<extra></extra>",
    };
    const title = data.outside ? "unlike the training data: these mean nothing" :
      data.calibrated ? "[%], calibrated on held-out shapes" : "[%], not calibrated";
    return Plotly.newPlot("bars", [trace], {
      margin: { l: 10, r: 10, t: 5, b: 40 }, font: FONT, bargap: 0.25,
      xaxis: { range: [0, 108], title: { text: title, font: { size: 12 } }, fixedrange: true },
      yaxis: { autorange: "reversed", automargin: true, fixedrange: true },
    }, { ...PLAIN, displayModeBar: false });
  }

  const levels = data.layers.map((layer) => layer.level);
  element("level").min = Math.min(...levels);
  element("level").max = Math.max(...levels);
  element("level").value = Math.max(...levels);
  element("sphere").max = data.spheres;
  if (data.shares) {
    data.classes.slice(0, data.shares.shape[0]).forEach((name, index) => {
      option(element("paint"), index, `what speaks for ${name}`);
    });
  }
  option(element("paint"), "radius", "distance from the centre");
  element("paint").addEventListener("input", paint);
  element("level").addEventListener("input", layersOfLevel);
  element("layer").addEventListener("input", channelsOfLayer);
  ["channel", "sphere", "zeros", "beside"].forEach((id) => element(id).addEventListener("input", sites));
  const drawn = [paint(), layersOfLevel()];
  if (data.classes) drawn.push(bars());
  return Promise.all(drawn).then(() => {
    follow("cloud", "sites");
    follow("sites", "cloud");
  });
}
