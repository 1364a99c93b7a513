// Names of pictures side by side, by place: none of them is a direction (A, P, L, R, S, I).
const nameOf = (place, n) => (n > 1 ? "XYZUVWTQ"[place] : "");

// The pictures of one reading: slices, frames, window and zoom are common to all of its panes.
function makeViewer() {
  const byId = (id) => document.getElementById(id);
  const view = { slice: 0, frame: 0, low: 0, high: 1, zoom: 1, x: 0.5, y: 0.5, playing: false };
  const cache = new Map(); // token -> promise of { block, images }, of this reading and the next
  let panes = [];
  let opened = 0;
  let waiting = false;

  // ---- loading ------------------------------------------------------------------------------------------------
  function loaded(token) {
    if (!cache.has(token)) cache.set(token, read(token));
    return cache.get(token);
  }
  async function read(token) {
    const block = JSON.parse(byId(`p-${token}`).textContent);
    return { block, images: await Promise.all(block.images.map(picture)) };
  }
  function picture(source) {
    return new Promise((done, failed) => {
      const image = new Image();
      image.onload = () => done(image);
      image.onerror = () => failed(new Error("a broken picture"));
      image.src = source;
    });
  }
  async function open(tokens, next) {
    const mine = ++opened;
    setPlaying(false);
    for (const token of cache.keys()) if (![...tokens, ...next].includes(token)) cache.delete(token);
    byId("panes").replaceChildren();
    panes = [];
    const found = await Promise.all(tokens.map(loaded));
    if (mine !== opened) return; // the reader has gone on
    panes = found.map(({ block, images }, place) => makePane(block, images, nameOf(place, found.length)));
    byId("panes").replaceChildren(...panes.map((pane) => pane.figure));
    begin(found[0].block);
    next.forEach((token) => loaded(token).catch(() => {}));
  }
  function makePane(block, images, name) {
    const figure = document.createElement("figure");
    figure.className = "pane";
    const canvas = document.createElement("canvas");
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", name ? `Image ${name}` : "The image to score");
    figure.append(canvas);
    const label = (words, kind) => {
      const span = document.createElement("span");
      span.textContent = words;
      span.className = kind;
      figure.append(span);
    };
    if (name) label(name, "name");
    if (block.marks) block.marks.forEach((mark, k) => label(mark, `mark ${"lrtb"[k]}`));
    const tile = document.createElement("canvas");
    tile.width = block.width;
    tile.height = block.height;
    wirePane(canvas);
    return { figure, canvas, block, images, tile, ink: tile.getContext("2d", { willReadFrequently: true }) };
  }
  function begin(block) {
    Object.assign(view, { slice: block.slices >> 1, frame: 0 });
    byId("slice").max = block.slices - 1;
    byId("frame").max = block.frames - 1;
    byId("slice-control").hidden = block.slices < 2;
    for (const id of ["frame-control", "play-control"]) byId(id).hidden = block.frames < 2;
    reset();
    setPlaying(block.frames > 1 && !matchMedia("(prefers-reduced-motion: reduce)").matches);
  }
  function reset() {
    if (!panes.length) return;
    const [low, high] = panes[0].block.window;
    Object.assign(view, { low, high, zoom: 1, x: 0.5, y: 0.5 });
    show();
  }

  // ---- drawing ------------------------------------------------------------------------------------------------
  // Windows are shares of the first pane's; a pane of another scale (images of different units) moves in proportion.
  function table(block) {
    const [low0, high0] = panes[0].block.window;
    const [low1, high1] = block.window;
    const to = (value) => low1 + ((value - low0) / (high0 - low0)) * (high1 - low1);
    const [low, high] = [to(view.low), to(view.high)];
    const { bottom, top, gamma } = block.scale;
    return Uint8Array.from({ length: 256 }, (_, code) => {
      const value = bottom + (top - bottom) * (code / 255) ** gamma;
      return Math.max(0, Math.min(255, Math.round((255 * (value - low)) / (high - low))));
    });
  }
  function place(pane, width, height) {
    const { block } = pane;
    const [down, across] = block.pixel;
    const fit = Math.min(width / (block.width * across), height / (block.height * down)) * view.zoom;
    const size = [block.width * across * fit, block.height * down * fit];
    return { left: width / 2 - view.x * size[0], top: height / 2 - view.y * size[1], size };
  }
  function drawPane(pane) {
    const { block, canvas, ink } = pane;
    ink.drawImage(pane.images[view.frame * block.slices + view.slice], 0, 0);
    const pixels = ink.getImageData(0, 0, block.width, block.height);
    const grey = table(block);
    const { data } = pixels;
    for (let i = 0; i < data.length; i += 4) data[i] = data[i + 1] = data[i + 2] = grey[data[i]];
    ink.putImageData(pixels, 0, 0);
    const sharp = window.devicePixelRatio || 1;
    const [width, height] = [Math.round(canvas.clientWidth * sharp), Math.round(canvas.clientHeight * sharp)];
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    const context = canvas.getContext("2d");
    context.fillStyle = "#000";
    context.fillRect(0, 0, width, height);
    context.imageSmoothingQuality = "high";
    const { left, top, size } = place(pane, width, height);
    context.drawImage(pane.tile, left, top, ...size);
  }
  function draw() {
    waiting = false;
    panes.forEach(drawPane);
  }
  function show() {
    if (!panes.length) return;
    const { block } = panes[0];
    for (const [kind, n] of [["slice", block.slices], ["frame", block.frames]]) {
      byId(kind).value = view[kind];
      byId(`${kind}-value`).textContent = `${view[kind] + 1} / ${n}`;
    }
    const high0 = block.window[1] - block.window[0];
    byId("level").value = (1000 * ((view.low + view.high) / 2 - block.window[0])) / (1.5 * high0);
    byId("width").value = (1000 * (view.high - view.low)) / (2 * high0);
    byId("zoom").value = view.zoom;
    if (!waiting) requestAnimationFrame(draw);
    waiting = true;
  }

  // ---- moving -------------------------------------------------------------------------------------------------
  const clamp = (value, low, high) => Math.max(low, Math.min(high, value));
  function step(kind, by) {
    if (!panes.length) return;
    const n = panes[0].block[`${kind}s`];
    view[kind] = kind === "frame" ? (view.frame + by + n) % n : clamp(view.slice + by, 0, n - 1);
    show();
  }
  function setWindow(level, width) {
    const least = (panes[0].block.window[1] - panes[0].block.window[0]) / 500;
    const half = Math.max(width, least) / 2;
    Object.assign(view, { low: level - half, high: level + half });
    show();
  }
  function zoomTo(zoom, pane, at) {
    const to = clamp(zoom, 1, 8);
    if (pane && at) {
      const box = pane.canvas.getBoundingClientRect();
      const { left, top, size } = place(pane, box.width, box.height);
      const [px, py] = [at.clientX - box.left, at.clientY - box.top];
      const [u, v] = [(px - left) / size[0], (py - top) / size[1]]; // the point under the pointer stays there
      const grown = to / view.zoom;
      view.x = u - (px - box.width / 2) / (size[0] * grown);
      view.y = v - (py - box.height / 2) / (size[1] * grown);
    }
    view.zoom = to;
    if (to === 1) view.x = view.y = 0.5;
    view.x = clamp(view.x, 0, 1);
    view.y = clamp(view.y, 0, 1);
    show();
  }
  function drag(pane, event, from) {
    const [dx, dy] = [event.clientX - from.at[0], event.clientY - from.at[1]];
    if (from.pan) {
      const { size } = place(pane, pane.canvas.clientWidth, pane.canvas.clientHeight);
      view.x = clamp(from.x - dx / size[0], 0, 1);
      view.y = clamp(from.y - dy / size[1], 0, 1);
      show();
      return;
    }
    const range = pane.block.window[1] - pane.block.window[0];
    const [low, high] = [from.low, from.high];
    setWindow((low + high) / 2 + (dy * range) / 500, Math.max(0, high - low + (dx * range) / 400));
  }
  function wirePane(canvas) {
    let from = null;
    const mine = () => panes.find((pane) => pane.canvas === canvas);
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      from = { ...view, at: [event.clientX, event.clientY], pan: event.button > 0 || event.shiftKey };
    });
    canvas.addEventListener("pointermove", (event) => from && drag(mine(), event, from));
    for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => (from = null));
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    canvas.addEventListener("dblclick", (event) => zoomTo(view.zoom > 1 ? 1 : 2.5, mine(), event));
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      const way = Math.sign(event.deltaY);
      if (event.ctrlKey) zoomTo(view.zoom * 1.15 ** -way, mine(), event);
      else step(panes[0].block.slices > 1 ? "slice" : "frame", way);
    }, { passive: false });
  }

  // ---- playing ------------------------------------------------------------------------------------------------
  let due = 0;
  function tick(now) {
    if (!view.playing) return;
    if (now >= due) {
      due = Math.max(due, now - 100) + 1000 / byId("speed").value;
      step("frame", 1);
    }
    requestAnimationFrame(tick);
  }
  function setPlaying(playing) {
    const starts = playing && !view.playing;
    view.playing = playing;
    byId("play").setAttribute("aria-pressed", playing);
    byId("play").textContent = playing ? "Pause" : "Play";
    if (starts) requestAnimationFrame((now) => { due = now; tick(now); });
  }
  function wire() {
    byId("slice").addEventListener("input", (e) => step("slice", Number(e.target.value) - view.slice));
    byId("frame").addEventListener("input", (e) => { setPlaying(false); step("frame", Number(e.target.value) - view.frame); });
    const moved = () => {
      const [low, high] = panes[0].block.window;
      setWindow(low + (byId("level").value / 1000) * 1.5 * (high - low), (byId("width").value / 1000) * 2 * (high - low));
    };
    byId("level").addEventListener("input", moved);
    byId("width").addEventListener("input", moved);
    byId("zoom").addEventListener("input", (e) => zoomTo(Number(e.target.value)));
    byId("reset").addEventListener("click", reset);
    byId("play").addEventListener("click", () => setPlaying(!view.playing));
    new ResizeObserver(show).observe(byId("panes"));
  }
  wire();
  return {
    open, reset,
    slice: (by) => step("slice", by),
    frame: (by) => { setPlaying(false); step("frame", by); },
    play: () => panes.length && panes[0].block.frames > 1 && setPlaying(!view.playing),
    stop: () => setPlaying(false),
    zoom: (factor) => zoomTo(view.zoom * factor),
  };
}
