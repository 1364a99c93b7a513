"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const data = JSON.parse(byId("pictures").textContent);
  const { width, height, frames, slices, scales, layers } = data;
  const state = { frame: 0, slice: slices.length >> 1, low: 0, high: 1, before: false, large: false, playing: false };
  const codes = {}; // layer -> 8-bit codes of the tile last drawn, for the readout
  const drawn = new Set(); // layers that are on the page now

  // ---- values and colours -------------------------------------------------------------------------------------
  const valueOf = (scale, code) => scale.bottom + (scale.top - scale.bottom) * (code / 255) ** scale.gamma;
  function show(value) {
    if (Math.abs(value) < 1e-9 * scales.grey.top) return "0";
    return (Math.abs(value) >= 100 ? value.toFixed(0) : value.toPrecision(3)).replace("-", "−");
  }
  const pack = (r, g, b) => (255 << 24) | (b << 16) | (g << 8) | r;

  function greyTable() {
    const table = new Uint32Array(256);
    for (let code = 0; code < 256; code++) {
      const share = (valueOf(scales.grey, code) - state.low) / (state.high - state.low);
      const grey = Math.max(0, Math.min(255, Math.round(255 * share)));
      table[code] = pack(grey, grey, grey);
    }
    return table;
  }
  function rampTable(hex) {
    const at = (i) => parseInt(hex.slice(2 * i, 2 * i + 2), 16);
    return Uint32Array.from({ length: 256 }, (_, i) => pack(at(3 * i), at(3 * i + 1), at(3 * i + 2)));
  }
  const tables = { difference: rampTable(data.ramps.difference), gmap: rampTable(data.ramps.gmap) };

  // ---- drawing ------------------------------------------------------------------------------------------------
  const scratch = document.createElement("canvas");
  scratch.width = width;
  scratch.height = height;
  const reader = scratch.getContext("2d", { willReadFrequently: true });

  function tile(layer) {
    const [nFrames, nSlices] = layer.n;
    const index = Math.min(state.frame, nFrames - 1) * nSlices + Math.min(state.slice, nSlices - 1);
    const place = index % layer.perSheet;
    const x = (place % layer.across) * width;
    const y = Math.floor(place / layer.across) * height;
    reader.drawImage(layer.images[Math.floor(index / layer.perSheet)], x, y, width, height, 0, 0, width, height);
    return reader.getImageData(0, 0, width, height);
  }
  function drawPane(pane) {
    const name = pane.dataset.layer === "denoised" && state.before ? "noisy" : pane.dataset.layer;
    const picture = tile(layers[name]);
    const pixels = new Uint32Array(picture.data.buffer);
    const table = tables[layers[name].scale];
    drawn.add(name);
    const kept = (codes[name] ||= new Uint8Array(pixels.length));
    for (let i = 0; i < pixels.length; i++) {
      kept[i] = pixels[i] & 255;
      pixels[i] = table[kept[i]];
    }
    pane.querySelector("canvas").getContext("2d").putImageData(picture, 0, 0);
  }
  const panes = [...document.querySelectorAll(".pane")];
  const isShown = (pane) => !state.large || pane.dataset.layer === "denoised";
  function draw() {
    drawn.clear();
    panes.filter(isShown).forEach(drawPane);
  }

  // ---- controls -----------------------------------------------------------------------------------------------
  const { bottom, top } = scales.grey;
  function setWindow(low, high) {
    state.low = low;
    state.high = Math.max(high, low + (top - bottom) / 1000);
    byId("level").value = Math.round((1000 * ((low + high) / 2 - bottom)) / (top - bottom));
    byId("width").value = Math.round((1000 * (high - low)) / (top - bottom));
    byId("level-value").textContent = show((low + high) / 2);
    byId("width-value").textContent = show(high - low);
    for (const label of document.querySelectorAll(".window-label")) label.textContent = `Window ${show(low)} to ${show(high)}`;
    tables.grey = greyTable();
    draw();
  }
  function moveWindow() {
    const level = bottom + ((top - bottom) * byId("level").value) / 1000;
    const half = ((top - bottom) * byId("width").value) / 2000;
    setWindow(level - half, level + half);
  }
  function position(kind, shown) {
    const slider = byId(kind);
    const total = shown.length;
    const at = ((state[kind] % total) + total) % total;
    state[kind] = at;
    slider.value = at;
    slider.setAttribute("aria-valuetext", `${kind} ${shown[at] + 1}`);
    byId(`${kind}-value`).textContent = `${shown[at] + 1} / ${shown[total - 1] + 1}`;
  }
  function goTo(frame, slice) {
    state.frame = frame;
    state.slice = slice;
    position("frame", frames);
    position("slice", slices);
    draw();
  }
  function setBefore(before) {
    state.before = before;
    byId("compare").setAttribute("aria-pressed", before);
    const pane = document.querySelector('.pane[data-layer="denoised"]');
    pane.classList.toggle("before", before);
    pane.querySelector("figcaption").textContent = before ? "Noisy (before)" : "Denoised";
    const said = before ? "The image before denoising, in place of the denoised" : "The image after denoising, same window";
    pane.querySelector("canvas").setAttribute("aria-label", said);
    draw();
  }
  function setLarge(large) {
    state.large = large;
    byId("large").setAttribute("aria-pressed", large);
    byId("strip").classList.toggle("large", large);
    draw();
  }

  // ---- playing ------------------------------------------------------------------------------------------------
  let due = 0;
  function tick(now) {
    if (!state.playing) return;
    if (now >= due) {
      due = Math.max(due, now - 100) + 1000 / byId("speed").value;
      goTo(state.frame + 1, state.slice);
    }
    requestAnimationFrame(tick);
  }
  function setPlaying(playing) {
    const starts = playing && !state.playing;
    state.playing = playing;
    byId("play").setAttribute("aria-pressed", playing);
    byId("play").setAttribute("aria-label", playing ? "Pause the series" : "Play the series");
    if (starts) requestAnimationFrame((now) => { due = now; tick(now); });
  }

  // ---- reading values -----------------------------------------------------------------------------------------
  function readAt(event) {
    const box = event.currentTarget.getBoundingClientRect();
    const x = Math.min(width - 1, Math.max(0, Math.floor(((event.clientX - box.left) / box.width) * width)));
    const y = Math.min(height - 1, Math.max(0, Math.floor(((event.clientY - box.top) / box.height) * height)));
    const said = [...drawn].map((name) => {
      const value = valueOf(scales[layers[name].scale], codes[name][y * width + x]);
      if (name === "difference") return `removed ${value.toFixed(1).replace("-", "−")} σ`;
      return `${name === "gmap" ? "g" : name} ${show(value)}`;
    });
    byId("readout").textContent = `x ${x}, y ${y}: ${said.join(" · ")}`;
  }

  // ---- wiring -------------------------------------------------------------------------------------------------
  function onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const inControl = event.target.closest("button, input, select");
    const still = (frame, slice) => { setPlaying(false); goTo(frame, slice); };
    const keys = {
      " ": () => frames.length > 1 && setPlaying(!state.playing),
      ArrowLeft: () => still(state.frame - 1, state.slice),
      ArrowRight: () => still(state.frame + 1, state.slice),
      ArrowUp: () => goTo(state.frame, state.slice + 1),
      ArrowDown: () => goTo(state.frame, state.slice - 1),
    };
    const letters = { b: () => setBefore(!state.before), l: () => setLarge(!state.large) };
    const action = (inControl ? null : keys[event.key]) || letters[event.key.toLowerCase()];
    if (!action) return;
    event.preventDefault();
    action();
  }
  function wire() {
    byId("frame").max = frames.length - 1;
    byId("slice").max = slices.length - 1;
    byId("frame-control").hidden = frames.length < 2;
    byId("slice-control").hidden = slices.length < 2;
    byId("frame").addEventListener("input", (e) => { setPlaying(false); goTo(Number(e.target.value), state.slice); });
    byId("slice").addEventListener("input", (e) => goTo(state.frame, Number(e.target.value)));
    byId("level").addEventListener("input", moveWindow);
    byId("width").addEventListener("input", moveWindow);
    byId("reset").addEventListener("click", () => setWindow(...data.window));
    byId("play").addEventListener("click", () => setPlaying(!state.playing));
    byId("compare").addEventListener("click", () => setBefore(!state.before));
    byId("large").addEventListener("click", () => setLarge(!state.large));
    byId("viewer").addEventListener("keydown", onKey);
    for (const pane of panes) pane.querySelector("canvas").addEventListener("pointermove", readAt);
    byId("strip").style.setProperty("--large-width", `calc(78vh * ${data.aspect})`);
    byId("controls").hidden = false;
  }
  async function load(layer) {
    layer.images = await Promise.all(layer.sheets.map(async (source) => {
      const image = new Image();
      await new Promise((done, failed) => {
        image.onload = done;
        image.onerror = () => failed(new Error("a broken picture"));
        image.src = source;
      });
      return image;
    }));
  }
  async function start() {
    for (const pane of panes) {
      const canvas = pane.querySelector("canvas");
      canvas.width = width;
      canvas.height = height;
      canvas.style.aspectRatio = String(data.aspect);
    }
    await Promise.all(Object.values(layers).map(load));
    wire();
    tables.grey = greyTable();
    goTo(0, state.slice);
    setWindow(...data.window);
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    setPlaying(frames.length > 1 && !calm);
  }
  start().catch((error) => {
    byId("failure").textContent = `The pictures could not be drawn (${error.message}). The numbers below are whole.`;
    byId("failure").hidden = false;
  });
})();
