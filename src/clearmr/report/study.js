// The walk through a study: start, readings in this reader's order, end.
const byId = (id) => document.getElementById(id);
const study = JSON.parse(byId("data").textContent);
const store = makeStore(study);
const viewer = makeViewer();
const panel = makePanel(study, byId("panel"), { onScore: scored });
const state = { record: null, at: 0, since: 0, handed: true };
const order = () => study.orders[state.record.reader - 1];

// ---- screens ----------------------------------------------------------------------------------------------------
function screen(name) {
  for (const id of ["start", "reading", "end"]) byId(id).hidden = id !== name;
  if (name !== "reading") viewer.stop();
  scrollTo(0, 0);
}
function showStart() {
  const images = study.orders[0].reduce((sum, reading) => sum + reading.pictures.length, 0);
  const shown = study.sideBySide
    ? `${study.orders[0].length} sets of images of one subject each, side by side, in random order`
    : `${images} images, one at a time, in random order`;
  byId("lead").textContent = `You will see ${shown}, and score ${study.items.length} item${study.items.length > 1 ? "s" : ""} of each. How an image was made is not told. You can stop at any time and go on later.`;
  byId("readers").replaceChildren(...study.orders.map((readings, k) => {
    const record = store.load(k + 1);
    const done = readings.filter((reading) => store.isWhole(record, reading)).length;
    const button = document.createElement("button");
    const name = document.createElement("strong");
    const said = document.createElement("span");
    name.textContent = `Reader ${k + 1}`;
    said.textContent = done ? `${done} of ${readings.length} scored, go on` : `${readings.length} to score`;
    button.type = "button";
    button.append(name, said);
    button.addEventListener("click", () => begin(k + 1));
    return button;
  }));
  if (!store.works()) notice("This browser does not keep your scores. Download the file before you close the page; you can go on from it later.");
  screen("start");
}
function notice(words) {
  byId("notice").textContent = words;
  byId("notice").hidden = !words;
}
function begin(reader) {
  state.record = store.load(reader);
  const first = order().findIndex((reading) => !store.isWhole(state.record, reading));
  if (first < 0) showEnd();
  else goTo(first);
}
function goTo(at) {
  keepTime();
  if (at >= order().length) {
    showEnd();
    return;
  }
  state.at = Math.max(0, at);
  const reading = order()[state.at];
  byId("reading").classList.toggle("many", reading.pictures.length > 1);
  screen("reading");
  panel.open(reading, store.scores(state.record, reading));
  byId("failure").hidden = true;
  viewer.open(reading.pictures, order()[state.at + 1]?.pictures || []).catch((error) => {
    byId("failure").textContent = `This image cannot be drawn (${error.message}). Tell whoever gave you this page.`;
    byId("failure").hidden = false;
  });
  state.since = performance.now();
  progress();
}
function progress() {
  const readings = order();
  const done = readings.filter((reading) => store.isWhole(state.record, reading)).length;
  const [given, all] = store.count(state.record, readings[state.at]);
  byId("where").textContent = `${study.sideBySide ? "Set" : "Image"} ${state.at + 1} of ${readings.length}`;
  byId("scored").textContent = `Reader ${state.record.reader} · ${done} scored`;
  byId("progress").value = done / readings.length;
  byId("previous").disabled = state.at === 0;
  byId("next").classList.toggle("waits", given < all);
  byId("next").textContent = given < all ? `Next (${all - given} open)` : state.at + 1 < readings.length ? "Next" : "Finish";
}
function scored() {
  state.handed = false;
  store.save(state.record);
  progress();
}
// Seconds that a reading was on a screen that the reader could see.
function keepTime() {
  if (!state.since || !state.record) return;
  const { id } = order()[state.at];
  const spent = (performance.now() - state.since) / 1000;
  state.record.seconds[id] = Math.round(10 * ((state.record.seconds[id] || 0) + spent)) / 10;
  state.since = 0;
  store.save(state.record);
}
function showEnd() {
  keepTime();
  const readings = order();
  const open = readings.filter((reading) => !store.isWhole(state.record, reading)).length;
  byId("end-title").textContent = open ? `${open} of ${readings.length} still open` : "All scored. Thank you.";
  byId("end-said").textContent = open
    ? "You can go back to them below, or stop here and go on later."
    : "Download the file with your scores and hand it over: this is all that leaves the page.";
  byId("dots").replaceChildren(...readings.map((reading, k) => {
    const [given, all] = store.count(state.record, reading);
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = k + 1;
    button.className = given === all ? "all" : given ? "some" : "";
    button.setAttribute("aria-label", `${k + 1}: ${given} of ${all} scored`);
    button.addEventListener("click", () => goTo(k));
    return button;
  }));
  screen("end");
}

// ---- keys, by their place on the keyboard (digits need no shift on any layout), else by what they say ---------------
const onlySeries = study.series ? [
  ["←  →", "frame of a series", /^Arrow(Left|Right)$/, (way) => viewer.frame(way === "Left" ? -1 : 1)],
  ["Space", "play a series, pause", /^Space$/, () => viewer.play()],
] : [];
const onlyAbsent = study.items.some((item) => item.absent) ? [
  ["0", "nothing to score, where the item allows it", /^(?:Digit|Numpad)0$/, () => panel.set("none")],
] : [];
const KEYS = [
  ["1 – 5", "score the marked item", /^(?:Digit|Numpad)([1-5])$/, (digit) => panel.set(Number(digit))],
  ...onlyAbsent,
  ["W  S", "item above, below", /^Key([WS])$/, (letter) => panel.move(letter === "W" ? -1 : 1)],
  ["Enter", "next image", /^(?:Numpad)?Enter$/, () => goTo(state.at + 1)],
  ["Backspace", "image before", /^Backspace$/, () => goTo(state.at - 1)],
  ["↑  ↓", "slice; the wheel does the same", /^Arrow(Up|Down)$/, (way) => viewer.slice(way === "Up" ? -1 : 1)],
  ...onlySeries,
  ["+  −", "zoom; Ctrl and wheel, or double click", /^([+=-])$/, (sign) => viewer.zoom(sign === "-" ? 0.8 : 1.25)],
  ["R", "reset window and zoom", /^KeyR$/, () => viewer.reset()],
  ["Drag", "window: right wider, down darker"],
  ["Shift drag", "move a zoomed image; or the right button"],
];
function onKey(event) {
  if (byId("reading").hidden || event.ctrlKey || event.metaKey || event.altKey) return;
  const { target } = event;
  const control = target.closest("button, select, input");
  if (control && /^(?:Enter|NumpadEnter|Space)$/.test(event.code)) return; // its own
  if (control && control.matches("select, input") && /^Arrow/.test(event.code)) return;
  for (const [, , pattern, action] of KEYS) {
    const found = pattern && (pattern.exec(event.code) || pattern.exec(event.key));
    if (found) {
      event.preventDefault();
      action(found[1]);
      return;
    }
  }
}

// ---- files, wiring ------------------------------------------------------------------------------------------------
function download() {
  keepTime();
  if (!byId("reading").hidden) state.since = performance.now();
  store.download(state.record);
  state.handed = true;
}
async function resume(event) {
  const [file] = event.target.files;
  event.target.value = "";
  if (!file) return;
  const record = store.parse(await file.text());
  notice(record ? "" : `${file.name} holds no scores of this study.`);
  if (!record) return;
  const kept = store.load(record.reader);
  const answered = (one) => study.orders[record.reader - 1].reduce((sum, reading) => sum + store.count(one, reading)[0], 0);
  const question = "This browser holds more scores of this reader than the file. Replace them by the file's?";
  if (answered(kept) > answered(record) && !confirm(question)) return;
  store.save(record);
  begin(record.reader);
}
function showKeys() {
  byId("help").replaceChildren(...KEYS.flatMap(([term, said]) => {
    const [dt, dd] = [document.createElement("dt"), document.createElement("dd")];
    for (const [k, part] of term.split("  ").entries()) {
      if (k) dt.append(" ");
      const name = document.createElement("kbd");
      name.textContent = part;
      dt.append(name);
    }
    dd.textContent = said;
    return [dt, dd];
  }));
}
function wire() {
  byId("next").addEventListener("click", (event) => { if (event.detail > 0) event.target.blur(); goTo(state.at + 1); });
  byId("previous").addEventListener("click", (event) => { if (event.detail > 0) event.target.blur(); goTo(state.at - 1); });
  byId("overview").addEventListener("click", showEnd);
  byId("end-back").addEventListener("click", () => goTo(state.at));
  byId("end-start").addEventListener("click", showStart);
  for (const id of ["download", "end-download"]) byId(id).addEventListener("click", download);
  byId("load").addEventListener("click", () => byId("file").click());
  byId("file").addEventListener("change", resume);
  document.addEventListener("keydown", onKey);
  document.addEventListener("visibilitychange", () => {
    if (byId("reading").hidden) return;
    if (document.hidden) keepTime();
    else state.since = performance.now();
  });
  addEventListener("pagehide", keepTime);
  addEventListener("beforeunload", (event) => { if (!store.works() && !state.handed) event.preventDefault(); });
  showKeys();
  byId("scale").replaceChildren(...study.items.map((item) => {
    const row = document.createElement("tr");
    const head = document.createElement("th");
    head.scope = "row";
    head.textContent = item.title;
    row.append(head, ...[item.worst, item.best].map((words) => Object.assign(document.createElement("td"), { textContent: words })));
    return row;
  }));
}
wire();
showStart();
