"use strict";
// The stage: two layers on one another, large. Wiped by mouse and keys, flickered, or one of them alone.
const makeStage = (byId, layers, calm) => {
  const state = { mode: "all", first: "", second: "", swapped: false, wipe: 0.5 };
  const [stage, handle] = [byId("stage"), byId("wipe")];
  let timer = 0;

  function setWipe(share) {
    state.wipe = Math.min(1, Math.max(0, share));
    const percent = Math.round(100 * state.wipe);
    stage.style.setProperty("--wipe", `${100 * state.wipe}%`);
    handle.setAttribute("aria-valuenow", percent);
    handle.setAttribute("aria-valuetext", `${percent} % ${layers.label(state.first)}, ${100 - percent} % ${layers.label(state.second)}`);
  }
  // In a wipe both are shown; alone, the second, or the first when swapped.
  const isOver = () => state.mode === "wipe" || !state.swapped;
  function say() {
    const names = state.swapped && state.mode === "wipe" ? [state.second, state.first] : [state.first, state.second];
    byId("stage-left").textContent = state.mode === "wipe" || !isOver() ? layers.label(names[0]) : "";
    byId("stage-right").textContent = isOver() ? layers.label(names[1]) : "";
    stage.classList.toggle("wiping", state.mode === "wipe");
    byId("over").parentElement.hidden = !isOver();
    handle.hidden = state.mode !== "wipe";
    stage.dataset.shown = isOver() ? names[1] : names[0];
    const scales = (state.mode === "wipe" ? names : [stage.dataset.shown]).map(layers.scaleOf);
    for (const legend of stage.querySelectorAll("[data-scale]")) {
      legend.hidden = !scales.includes(legend.dataset.scale);
      legend.style.order = scales.indexOf(legend.dataset.scale);
    }
  }
  function draw(frame, slice) {
    if (state.mode === "all") return [];
    const names = state.swapped && state.mode === "wipe" ? [state.second, state.first] : [state.first, state.second];
    layers.draw(names[0], byId("under"), frame, slice);
    layers.draw(names[1], byId("over"), frame, slice);
    return names;
  }
  function setRunning() {
    clearInterval(timer);
    const rate = Number(byId("rate").value);
    if (state.mode === "flicker" && rate > 0) timer = setInterval(() => stage.dispatchEvent(new Event("swap")), 1000 / rate);
  }
  function setMode(mode) {
    state.mode = mode;
    state.swapped = false;
    stage.hidden = mode === "all";
    setWipe(state.wipe);
    setRunning();
    say();
  }
  const swap = () => { state.swapped = !state.swapped; say(); };
  function choose(first, second) {
    Object.assign(state, { first, second });
    [byId("first").value, byId("second").value] = [first, second];
    setWipe(state.wipe);
    say();
  }

  function onKey(event) {
    const big = event.shiftKey ? 0.1 : 0.02;
    const to = { ArrowLeft: state.wipe - big, ArrowDown: state.wipe - big, ArrowRight: state.wipe + big, ArrowUp: state.wipe + big, PageDown: state.wipe - 0.1, PageUp: state.wipe + 0.1, Home: 0, End: 1 }[event.key];
    if (to === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation();
    setWipe(to);
  }
  // A drag anywhere on the stage wipes, while it wipes and no Shift asks for a box.
  function taken(event, place) {
    if (state.mode !== "wipe" || event.shiftKey) return false;
    const frame = event.currentTarget;
    event.preventDefault();
    handle.focus({ preventScroll: true });
    frame.setPointerCapture(event.pointerId);
    const move = (e) => setWipe(place(frame, e)[0]);
    const end = () => {
      frame.removeEventListener("pointermove", move);
      frame.removeEventListener("pointerup", end);
      frame.removeEventListener("pointercancel", end);
    };
    frame.addEventListener("pointermove", move);
    frame.addEventListener("pointerup", end);
    frame.addEventListener("pointercancel", end);
    move(event);
    return true;
  }
  function wire(first, second, redraw) {
    for (const select of [byId("first"), byId("second")]) {
      const images = layers.names.filter(layers.isImage);
      for (const name of [...images, ...layers.names.filter((n) => !layers.isImage(n))]) select.add(new Option(layers.label(name), name));
      select.addEventListener("change", () => { choose(byId("first").value, byId("second").value); redraw(); });
    }
    if (calm) byId("rate").value = "0";
    byId("rate").addEventListener("change", setRunning);
    stage.addEventListener("swap", () => { swap(); redraw(); });
    handle.addEventListener("keydown", onKey);
    choose(first, second);
  }
  return { state, setMode, swap, draw, taken, wire };
};
