"use strict";
// What every page needs: it unpacks the data, loads the library from the page itself, and draws.

const ARRAYS = {
  u1: Uint8Array, i2: Int16Array, u2: Uint16Array, i4: Int32Array, f4: Float32Array,
};
const COLORS = ["#332288", "#cc6677", "#44aa99", "#ddcc77", "#88ccee", "#117733"];
const PLAIN = {
  displaylogo: false, responsive: true,
  modeBarButtons: [["toImage", "resetCameraDefault3d"]],
};
const FONT = { family: "system-ui, Liberation Sans, sans-serif", size: 12, color: "#222" };
const element = (id) => document.getElementById(id);

async function inflate(text) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Response(stream).arrayBuffer();
}

// Arrays that were packed become {values, shape}; everything else stays as it is.
async function unpack(value) {
  if (Array.isArray(value)) return Promise.all(value.map(unpack));
  if (value === null || typeof value !== "object") return value;
  if ("packed" in value) {
    const values = new ARRAYS[value.packed](await inflate(value.data));
    return { values, shape: value.shape };
  }
  const entries = Object.entries(value).map(async ([key, part]) => [key, await unpack(part)]);
  return Object.fromEntries(await Promise.all(entries));
}

function option(select, value, text) {
  const entry = document.createElement("option");
  entry.value = value;
  entry.textContent = text;
  select.append(entry);
}

// Column k of an array (n, 3).
const column = (array, k) => Array.from({ length: array.shape[0] }, (_, i) => array.values[3 * i + k]);

// Layout of a cube without walls around a centre; reach is half its width.
function space(reach, camera, centre = [0, 0, 0]) {
  const axis = (k) => ({
    visible: false, showspikes: false, range: [centre[k] - reach, centre[k] + reach],
  });
  return {
    margin: { l: 0, r: 0, t: 0, b: 0 }, showlegend: false, font: FONT,
    scene: {
      aspectmode: "manual", aspectratio: { x: 1.55, y: 1.55, z: 1.55 },
      xaxis: axis(0), yaxis: axis(1), zaxis: axis(2),
      // Without perspective, spheres are round.
      camera: camera || { eye: { x: 1.2, y: 1.2, z: 0.75 }, projection: { type: "orthographic" } },
      dragmode: "orbit",
    },
  };
}

// Three great circles, as a trace of lines.
function sphereAt(radius) {
  const [x, y, z] = [[], [], []];
  for (let circle = 0; circle < 3; circle += 1) {
    for (let step = 0; step <= 60; step += 1) {
      const angle = (Math.PI * step) / 30;
      const [a, b] = [radius * Math.cos(angle), radius * Math.sin(angle)];
      const place = [[a, b, 0], [0, a, b], [b, 0, a]][circle];
      x.push(place[0]);
      y.push(place[1]);
      z.push(place[2]);
    }
    [x, y, z].forEach((axis) => axis.push(null));
  }
  const line = { color: "#c4c8d4", width: 1.5 };
  return { type: "scatter3d", mode: "lines", x, y, z, line, hoverinfo: "skip" };
}

const DIVERGING = [[0, "#2166ac"], [0.5, "#e4e4e8"], [1, "#b2182b"]];

// The largest absolute value that all but 2 % of the values stay below.
function reachOf(values) {
  const sizes = Float64Array.from(values, Math.abs).sort();
  return sizes[Math.floor(0.98 * (sizes.length - 1))] || sizes[sizes.length - 1] || 1;
}

// Break a label into lines.
function broken(text, columns) {
  const lines = [""];
  text.split(" ").forEach((word) => {
    const longer = `${lines[lines.length - 1]} ${word}`.trim();
    if (longer.length > columns && lines[lines.length - 1]) lines.push(word);
    else lines[lines.length - 1] = longer;
  });
  return lines.join("<br>");
}

const format = (number, digits = 3) => Number(number).toPrecision(digits).replace(/\.?0+$/, "");

function fail(error) {
  element("problem").hidden = false;
  element("problem").textContent = `This page cannot be drawn: ${error.message || error}. ` +
    "It needs a browser of 2023 or later, with WebGL.";
  document.body.dataset.state = "failed";
}

async function start() {
  try {
    const code = new TextDecoder().decode(await inflate(element("library").textContent));
    const script = document.createElement("script");
    script.textContent = code;
    document.head.append(script);
    await draw(await unpack(JSON.parse(element("payload").textContent)));
    document.body.dataset.state = "drawn";
  } catch (error) {
    console.error(error);
    fail(error);
  }
}

addEventListener("DOMContentLoaded", start);
