"use strict";
// The comparison: its pictures.
(() => {
  const failure = document.getElementById("failure");
  startPanes(JSON.parse(document.getElementById("data").textContent)).catch((error) => {
    failure.textContent = `The pictures could not be drawn (${error.message}). The numbers above are whole.`;
    failure.hidden = false;
  });
})();
