"use strict";
// A page with pictures: it draws them, and opens all details on paper.
(() => {
  const failure = document.getElementById("failure");
  startPanes(JSON.parse(document.getElementById("data").textContent)).catch((error) => {
    failure.textContent = `The pictures could not be drawn (${error.message}). The numbers on this page are whole.`;
    failure.hidden = false;
  });
  const closed = () => [...document.querySelectorAll("details:not([open])")];
  let opened = [];
  addEventListener("beforeprint", () => { opened = closed(); for (const details of opened) details.open = true; });
  addEventListener("afterprint", () => { for (const details of opened) details.open = false; });
})();
