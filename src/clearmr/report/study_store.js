// What a reader has scored: kept in this browser where it allows that, and in a file that the reader downloads.
const FORMAT = "clearmr-study-answers";

function makeStore(study) {
  const key = (reader) => `${FORMAT}-${study.study}-${reader}`;
  const memory = new Map(); // where the browser keeps nothing
  let works = true;

  function attempt(action) {
    try {
      return action();
    } catch {
      works = false;
      return null;
    }
  }
  function empty(reader) {
    return { format: FORMAT, version: 1, study: study.study, reader, started: new Date().toISOString(), answers: {}, seconds: {} };
  }
  // `text` as a record of this study, or null; whatever else it holds is left out.
  function parse(text) {
    let found;
    try {
      found = JSON.parse(text);
    } catch {
      return null;
    }
    const ours = found && found.format === FORMAT && found.study === study.study && study.orders[found.reader - 1];
    if (!ours || typeof found.answers !== "object" || !found.answers) return null;
    const record = empty(found.reader);
    if (typeof found.started === "string") record.started = found.started;
    for (const { id, pictures } of ours) {
      const given = found.answers[id];
      if (Array.isArray(given) && given.length === pictures.length) record.answers[id] = given.map(checked);
      if (found.seconds && Number.isFinite(found.seconds[id])) record.seconds[id] = found.seconds[id];
    }
    return record;
  }
  function checked(given) {
    const right = {};
    for (const item of study.items) {
      const score = given && given[item.name];
      if ([1, 2, 3, 4, 5].includes(score) || (item.absent && score === "none")) right[item.name] = score;
    }
    return right;
  }
  function load(reader) {
    const text = attempt(() => localStorage.getItem(key(reader))) || memory.get(reader);
    return (text && parse(text)) || empty(reader);
  }
  function save(record) {
    record.saved = new Date().toISOString();
    const text = JSON.stringify(record);
    memory.set(record.reader, text);
    attempt(() => localStorage.setItem(key(record.reader), text));
  }
  function scores(record, reading) {
    return (record.answers[reading.id] ||= reading.pictures.map(() => ({})));
  }
  // How many of a reading's items have a score, and of how many.
  function count(record, reading) {
    const given = record.answers[reading.id] || [];
    const done = given.reduce((sum, one) => sum + Object.keys(one).length, 0);
    return [done, study.items.length * reading.pictures.length];
  }
  function isWhole(record, reading) {
    const [done, all] = count(record, reading);
    return done === all;
  }
  function download(record) {
    const order = study.orders[record.reader - 1];
    const said = { ...record, saved: new Date().toISOString(), complete: order.every((reading) => isWhole(record, reading)) };
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([JSON.stringify(said, null, 1)], { type: "application/json" }));
    link.download = `study-${study.study}-reader-${record.reader}.json`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  }
  attempt(() => localStorage.getItem(key(0)));
  return { load, save, parse, scores, count, isWhole, download, works: () => works };
}
