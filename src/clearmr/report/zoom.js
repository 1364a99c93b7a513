"use strict";
// Zoom: one region for all frames at once, by box, wheel, drag and keys. Frames are clipped, their canvases transformed.
const makeZoom = (viewer, said) => {
  const MOST = 16;
  const at = { scale: 1, x: 0, y: 0 }; // x, y: what lies at the left top, in shares of the picture
  const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
  const percent = (share) => `${(100 * share).toFixed(4)}%`;

  function set(scale, x, y) {
    at.scale = clamp(scale, 1, MOST);
    at.x = clamp(x, 0, 1 - 1 / at.scale);
    at.y = clamp(y, 0, 1 - 1 / at.scale);
    viewer.style.setProperty("--zoom", at.scale.toFixed(4));
    viewer.style.setProperty("--pan-x", percent(-at.x * at.scale));
    viewer.style.setProperty("--pan-y", percent(-at.y * at.scale));
    viewer.classList.toggle("zoomed", at.scale > 1);
    said(at);
  }
  // Grow by `factor`; the point at (px, py), shares of the frame, stays where it is.
  function about(factor, px = 0.5, py = 0.5) {
    const scale = clamp(at.scale * factor, 1, MOST);
    set(scale, at.x + px * (1 / at.scale - 1 / scale), at.y + py * (1 / at.scale - 1 / scale));
  }
  const pan = (dx, dy) => set(at.scale, at.x + dx / at.scale, at.y + dy / at.scale);
  const reset = () => set(1, 0, 0);
  function toBox(box) { // shares of the frame
    const scale = at.scale / Math.max(box.w, box.h);
    const half = at.scale / clamp(scale, 1, MOST) / 2;
    const [x, y] = [box.x + box.w / 2 - half, box.y + box.h / 2 - half];
    set(scale, at.x + x / at.scale, at.y + y / at.scale);
  }
  function place(frame, event) {
    const box = frame.getBoundingClientRect();
    return [clamp((event.clientX - box.left) / box.width, 0, 1), clamp((event.clientY - box.top) / box.height, 0, 1)];
  }

  // ---- by mouse: a box; once zoomed, drag moves (Shift: a box all the same) -----------------------------------------
  function onWheel(event) {
    if (!event.ctrlKey && !viewer.contains(document.activeElement)) return; // the page scrolls past
    event.preventDefault();
    const pixels = event.deltaY * (event.deltaMode === 1 ? 33 : 1);
    about(Math.exp(-clamp(pixels, -100, 100) / 250), ...place(event.currentTarget, event));
  }
  function onDown(event, taken, clicked) {
    const frame = event.currentTarget;
    if (event.button !== 0 || taken(event)) return;
    const moves = at.scale > 1 && !event.shiftKey;
    const [x0, y0] = place(frame, event);
    let last = [x0, y0];
    let moved = false;
    const marked = document.createElement("div");
    marked.className = "box";
    if (event.pointerType !== "touch" || moves) frame.setPointerCapture(event.pointerId);
    function onMove(e) {
      const now = place(frame, e);
      moved ||= Math.hypot(e.clientX - event.clientX, e.clientY - event.clientY) > 4;
      if (!moved) return;
      if (moves) pan(last[0] - now[0], last[1] - now[1]);
      else if (event.pointerType !== "touch") drawBox(marked, frame, boxOf(x0, y0, ...now));
      last = now;
    }
    function onUp(e) {
      for (const kind of ["pointermove", "pointerup", "pointercancel"]) frame.removeEventListener(kind, kind === "pointermove" ? onMove : onUp);
      marked.remove();
      const box = boxOf(x0, y0, ...place(frame, e));
      if (!moved && e.type === "pointerup") clicked(frame);
      else if (!moves && event.pointerType !== "touch" && Math.max(box.w, box.h) > 0.02) toBox(box);
    }
    frame.addEventListener("pointermove", onMove);
    frame.addEventListener("pointerup", onUp);
    frame.addEventListener("pointercancel", onUp);
  }
  const boxOf = (x0, y0, x1, y1) => ({ x: Math.min(x0, x1), y: Math.min(y0, y1), w: Math.abs(x1 - x0), h: Math.abs(y1 - y0) });
  function drawBox(marked, frame, box) {
    if (!marked.isConnected) frame.append(marked);
    for (const [side, share] of [["left", box.x], ["top", box.y], ["width", box.w], ["height", box.h]]) marked.style[side] = percent(share);
  }
  function listen(frame, { taken, clicked }) {
    frame.addEventListener("wheel", onWheel, { passive: false });
    frame.addEventListener("pointerdown", (event) => onDown(event, taken, clicked));
    frame.addEventListener("dblclick", reset);
  }
  return { at, about, pan, reset, listen, place };
};
