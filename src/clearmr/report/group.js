"use strict";
// The table of scans: a click on a head sorts by it, another one turns the order round. What is missing comes last.
(() => {
  const table = document.getElementById("scans");
  const heads = [...table.querySelectorAll("thead th")];
  const collator = new Intl.Collator("en", { numeric: true, sensitivity: "base" });

  function compare(a, b, sign) {
    if (a === undefined || b === undefined) return (a === undefined) - (b === undefined);
    const numbers = [Number(a), Number(b)];
    return sign * (numbers.some(Number.isNaN) ? collator.compare(a, b) : numbers[0] - numbers[1]);
  }
  function sortBy(head) {
    const column = heads.indexOf(head);
    const sign = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
    for (const other of heads) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
    const value = (scan) => scan.rows[0].cells[column].dataset.value;
    table.append(...[...table.tBodies].sort((a, b) => compare(value(a), value(b), sign)));
    const order = head.dataset.name === "Trust" ? ["worst first", "best first"] : ["lowest first", "highest first"];
    document.getElementById("sorted").textContent = `Sorted by ${head.dataset.name}, ${order[sign > 0 ? 0 : 1]}.`;
  }
  for (const head of heads) head.querySelector("button").addEventListener("click", () => sortBy(head));
})();
