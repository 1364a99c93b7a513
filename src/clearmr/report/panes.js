"use strict";
// Panes: any number of named layers side by side or on one another, with the controls of panes.html.
const startPanes = async (data) => {
  const byId = (id) => document.getElementById(id);
  const viewer = byId("viewer");
  const { frames, slices } = data;
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const layers = makeLayers(data);
  const stage = makeStage(byId, layers, calm);
  const panes = [...viewer.querySelectorAll(".pane")];
  const state = { frame: 0, slice: slices.length >> 1, playing: false };
  let drawn = []; // layers that are on the page now

  // ---- drawing ------------------------------------------------------------------------------------------------
  const layerOf = (pane) => (pane.classList.contains("swapped") ? pane.dataset.swap : pane.dataset.layer);
  function drawPane(pane) {
    layers.draw(layerOf(pane), pane.querySelector("canvas"), state.frame, state.slice);
    return layerOf(pane);
  }
  function draw() {
    const all = stage.state.mode === "all";
    drawn = [...new Set(all ? panes.map(drawPane) : stage.draw(state.frame, state.slice))];
  }

  // ---- window, factor, zoom -----------------------------------------------------------------------------------
  const { bottom, top } = data.scales.grey;
  function setWindow(low, high) {
    const least = (top - bottom) / 1000;
    layers.setWindow(low, Math.max(high, low + least));
    byId("level").value = Math.round((1000 * ((low + high) / 2 - bottom)) / (top - bottom));
    byId("width").value = Math.round((1000 * (high - low)) / (top - bottom));
    byId("level-value").textContent = layers.show((low + high) / 2);
    byId("width-value").textContent = layers.show(high - low);
    for (const label of viewer.querySelectorAll(".window-label")) label.textContent = `Window ${layers.show(low)} to ${layers.show(high)}`;
    draw();
    record();
  }
  function moveWindow() {
    const level = bottom + ((top - bottom) * byId("level").value) / 1000;
    const half = ((top - bottom) * byId("width").value) / 2000;
    setWindow(level - half, level + half);
  }
  function setFactor(factor) {
    layers.setFactor(factor);
    byId("factor").value = String(factor);
    for (const label of viewer.querySelectorAll("[data-sigma]")) {
      const sigma = Number(label.dataset.sigma) / factor;
      label.textContent = sigma === 0 ? "0" : `${sigma > 0 ? "+" : "−"}${Math.abs(sigma)}σ`;
    }
    draw();
    record();
  }
  const zoom = makeZoom(viewer, (at) => {
    byId("zoom-value").textContent = `${at.scale.toFixed(at.scale < 10 ? 1 : 0)} ×`;
    byId("zoom-out").disabled = byId("zoom-reset").disabled = at.scale <= 1;
    record();
  });

  // ---- where in the series -------------------------------------------------------------------------------------
  function position(kind, shown) {
    const total = shown.length;
    const at = ((state[kind] % total) + total) % total;
    state[kind] = at;
    byId(kind).value = at;
    byId(kind).setAttribute("aria-valuetext", `${kind} ${shown[at] + 1}`);
    byId(`${kind}-value`).textContent = `${shown[at] + 1} / ${shown[total - 1] + 1}`;
  }
  function goTo(frame, slice) {
    Object.assign(state, { frame, slice });
    position("frame", frames);
    position("slice", slices);
    draw();
    record();
  }
  // What is shown, in words: for the printed page, where no control is.
  function record() {
    const { low, high, factor } = layers.view;
    const parts = [`Frame ${frames[state.frame] + 1} of ${frames.at(-1) + 1}`, `slice ${slices[state.slice] + 1} of ${slices.at(-1) + 1}`];
    parts.push(`window ${layers.show(low)} to ${layers.show(high)}`);
    if (factor !== 1) parts.push(`residual × ${factor}`);
    if (zoom && zoom.at.scale > 1) parts.push(`zoom ${zoom.at.scale.toFixed(1)} ×`);
    byId("printed").textContent = `${parts.join(", ")}.`;
  }

  // ---- playing: frames, or the slices of what has one frame ------------------------------------------------------
  let due = 0;
  const step = (by) => (frames.length > 1 ? goTo(state.frame + by, state.slice) : goTo(state.frame, state.slice + by));
  function tick(now) {
    if (!state.playing) return;
    if (now >= due) {
      due = Math.max(due, now - 100) + 1000 / byId("speed").value;
      step(1);
    }
    requestAnimationFrame(tick);
  }
  function setPlaying(playing) {
    const starts = playing && !state.playing;
    state.playing = playing;
    byId("play").setAttribute("aria-pressed", playing);
    byId("play").setAttribute("aria-label", playing ? "Pause" : "Play");
    if (starts) requestAnimationFrame((now) => { due = now; tick(now); });
  }

  // ---- one another ----------------------------------------------------------------------------------------------
  function setMode(mode) {
    const to = mode === stage.state.mode ? "all" : mode;
    stage.setMode(to);
    byId("strip").hidden = to !== "all";
    byId("pair").hidden = to === "all";
    byId("rate-control").hidden = to !== "flicker";
    for (const button of viewer.querySelectorAll("[data-mode]")) button.setAttribute("aria-pressed", button.dataset.mode === to);
    setSwapped(panes, false);
    if (to === "wipe") byId("wipe").focus({ preventScroll: true });
    else if (!viewer.contains(document.activeElement)) viewer.focus({ preventScroll: true });
  }
  function setSwapped(which, swapped) {
    for (const pane of which.filter((p) => p.dataset.swap)) {
      pane.classList.toggle("swapped", swapped);
      pane.querySelector("figcaption").textContent = swapped ? pane.dataset.swapTitle : pane.dataset.title;
      pane.querySelector("canvas").setAttribute("aria-label", swapped ? pane.dataset.swapTitle : pane.dataset.alt);
    }
    const swaps = panes.filter((p) => p.dataset.swap);
    byId("swap").setAttribute("aria-pressed", swaps.length > 0 && swaps.every((p) => p.classList.contains("swapped")));
    draw();
  }
  function swap() {
    if (stage.state.mode === "all") return setSwapped(panes, byId("swap").getAttribute("aria-pressed") !== "true");
    stage.swap();
    byId("swap").setAttribute("aria-pressed", stage.state.swapped);
    return draw();
  }

  // ---- the pointer ------------------------------------------------------------------------------------------------
  function readAt(event) {
    const frame = event.currentTarget;
    const [px, py] = zoom.place(frame, event);
    viewer.style.setProperty("--at-x", `${100 * px}%`);
    viewer.style.setProperty("--at-y", `${100 * py}%`);
    viewer.classList.toggle("pointing", event.type !== "pointerleave");
    const x = Math.min(layers.width - 1, Math.floor((zoom.at.x + px / zoom.at.scale) * layers.width));
    const y = Math.min(layers.height - 1, Math.floor((zoom.at.y + py / zoom.at.scale) * layers.height));
    byId("readout").textContent = `x ${x}, y ${y}: ${drawn.map((name) => layers.said(name, x, y)).join(" · ")}`;
  }

  // ---- keys -------------------------------------------------------------------------------------------------------
  const factors = [...byId("factor").options].map((option) => Number(option.value));
  const nextFactor = () => factors[(factors.indexOf(layers.view.factor) + 1) % factors.length];
  const still = (frame, slice) => { setPlaying(false); goTo(frame, slice); };
  const arrows = {
    " ": () => setPlaying(!state.playing && frames.length * slices.length > 1),
    ArrowLeft: () => still(state.frame - 1, state.slice),
    ArrowRight: () => still(state.frame + 1, state.slice),
    ArrowUp: () => goTo(state.frame, state.slice + 1),
    ArrowDown: () => goTo(state.frame, state.slice - 1),
  };
  const shifted = {
    ArrowLeft: () => zoom.pan(-0.1, 0), ArrowRight: () => zoom.pan(0.1, 0),
    ArrowUp: () => zoom.pan(0, -0.1), ArrowDown: () => zoom.pan(0, 0.1),
  };
  const letters = {
    a: () => stage.state.mode !== "all" && setMode("all"), w: () => setMode("wipe"), f: () => setMode("flicker"), l: () => setMode("one"),
    b: swap, k: () => setFactor(nextFactor()), p: () => byId("smooth").click(), "?": () => byId("help").showModal(),
    "+": () => zoom.about(1.25), "=": () => zoom.about(1.25), "-": () => zoom.about(0.8), 0: zoom.reset,
  };
  function onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("select, dialog")) return;
    const inControl = event.target.closest("button, input");
    const moves = event.shiftKey ? shifted : arrows;
    const action = (inControl ? null : moves[event.key]) || letters[event.key.toLowerCase()];
    if (!action) return;
    event.preventDefault();
    action();
  }

  // ---- wiring -------------------------------------------------------------------------------------------------------
  const on = (id, kind, action) => byId(id).addEventListener(kind, action);
  function wireControls() {
    byId("frame").max = frames.length - 1;
    byId("slice").max = slices.length - 1;
    byId("play-control").hidden = frames.length * slices.length < 2;
    byId("frame-control").hidden = frames.length < 2;
    byId("slice-control").hidden = slices.length < 2;
    byId("factor-control").hidden = !layers.names.some(layers.isResidual);
    byId("swap").hidden = !panes.some((pane) => pane.dataset.swap);
    on("frame", "input", (e) => still(Number(e.target.value), state.slice));
    on("slice", "input", (e) => goTo(state.frame, Number(e.target.value)));
    on("level", "input", moveWindow);
    on("width", "input", moveWindow);
    on("reset", "click", () => setWindow(...data.window));
    on("factor", "change", (e) => setFactor(Number(e.target.value)));
    on("play", "click", () => setPlaying(!state.playing));
    on("swap", "click", swap);
    on("zoom-in", "click", () => zoom.about(1.5));
    on("zoom-out", "click", () => zoom.about(1 / 1.5));
    on("zoom-reset", "click", zoom.reset);
    on("smooth", "click", () => byId("smooth").setAttribute("aria-pressed", !viewer.classList.toggle("pixels")));
    on("keys", "click", () => byId("help").showModal());
    on("help-close", "click", () => byId("help").close());
    for (const button of viewer.querySelectorAll("[data-mode]")) button.addEventListener("click", () => setMode(button.dataset.mode));
  }
  function wire() {
    wireControls();
    viewer.addEventListener("keydown", onKey);
    for (const frame of viewer.querySelectorAll(".frame")) {
      const pane = frame.closest(".pane");
      const clicked = () => pane?.dataset.swap && setSwapped([pane], !pane.classList.contains("swapped"));
      zoom.listen(frame, { clicked, taken: (event) => !pane && stage.taken(event, zoom.place) });
      frame.addEventListener("pointerdown", readAt);
      frame.addEventListener("pointermove", readAt);
      frame.addEventListener("pointerleave", readAt);
    }
    addEventListener("beforeprint", () => setPlaying(false));
    viewer.style.setProperty("--aspect", String(data.aspect));
    byId("controls").hidden = byId("toolbar").hidden = false;
  }
  await layers.load();
  wire();
  stage.wire(data.first, data.second, draw);
  zoom.reset();
  setFactor(1);
  goTo(0, state.slice);
  setWindow(...data.window);
  setPlaying(frames.length > 1 && !calm);
};
