// The scores of one reading: a row of keys per item, and per picture where several are side by side.
function makePanel(study, holder, { onScore }) {
  const state = { reading: null, scores: [], cell: 0 };
  let cells = [];

  function element(kind, words = "", name = "") {
    const made = document.createElement(kind);
    made.textContent = words;
    made.className = name;
    return made;
  }
  function key(cell, value, title) {
    const button = element("button", value === "none" ? "None" : String(value), value === "none" ? "absent" : "");
    button.type = "button";
    button.dataset.value = value;
    button.setAttribute("aria-label", `${title}: ${value === "none" ? "nothing to score" : value}`);
    button.addEventListener("click", (event) => {
      if (event.detail > 0) button.blur(); // a mouse leaves no focus behind: Enter goes on to the next image
      state.cell = cell;
      set(value);
    });
    return button;
  }
  function row(item, place, name) {
    const set = element("div", "", "set");
    const title = name ? `${item.title}, image ${name}` : item.title;
    set.setAttribute("role", "group");
    set.setAttribute("aria-label", title);
    if (name) set.append(element("b", name));
    const values = item.absent ? [1, 2, 3, 4, 5, "none"] : [1, 2, 3, 4, 5];
    const cell = cells.length;
    set.append(...values.map((value) => key(cell, value, title)));
    cells.push({ item, place, set });
    return set;
  }
  function open(reading, scores) {
    Object.assign(state, { reading, scores, cell: 0 });
    cells = [];
    holder.replaceChildren(...study.items.map((item) => {
      const box = element("div", "", "item");
      const head = element("p");
      head.append(element("span", item.title));
      if (item.absent) head.append(element("span", "0 = none", "muted"));
      const sets = element("div", "", "sets");
      sets.append(...reading.pictures.map((_, place) => row(item, place, nameOf(place, reading.pictures.length))));
      const words = element("div", "", "words");
      words.append(element("span", `1 ${item.worst}`), element("span", `5 ${item.best}`));
      box.append(head, sets, words);
      return box;
    }));
    const first = cells.findIndex((cell) => scoreOf(cell) === undefined);
    state.cell = Math.max(0, first);
    show();
    holder.scrollTop = 0;
  }
  const scoreOf = (cell) => state.scores[cell.place][cell.item.name];
  function show() {
    cells.forEach((cell, k) => {
      const active = k === state.cell;
      cell.set.classList.toggle("active", active);
      for (const button of cell.set.querySelectorAll("button")) {
        button.setAttribute("aria-pressed", String(scoreOf(cell)) === button.dataset.value);
      }
    });
    for (const box of holder.children) box.classList.toggle("active", !!box.querySelector(".set.active"));
    cells[state.cell]?.set.parentElement.parentElement.scrollIntoView({ block: "nearest" });
  }
  // Score the active row, then go to the next one that has no score.
  function set(value) {
    const cell = cells[state.cell];
    if (!cell || (value === "none" && !cell.item.absent)) return;
    state.scores[cell.place][cell.item.name] = value;
    const order = cells.map((_, k) => (state.cell + k) % cells.length);
    const next = order.find((k) => scoreOf(cells[k]) === undefined);
    if (next !== undefined) state.cell = next;
    show();
    onScore();
  }
  function move(by) {
    state.cell = Math.max(0, Math.min(cells.length - 1, state.cell + by));
    show();
  }
  return { open, set, move };
}
