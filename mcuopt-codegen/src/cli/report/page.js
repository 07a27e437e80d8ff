// Cores: one is shown at a time.
const buttons = document.querySelectorAll("nav button");
for (const button of buttons) {
  button.addEventListener("click", () => {
    for (const other of buttons) other.setAttribute("aria-pressed", other === button);
    for (const part of document.querySelectorAll("[data-target]")) {
      part.hidden = part.dataset.target !== button.dataset.show;
    }
  });
}
// Tables: a click on a column's head sorts by it, another one the other way round. Numbers start with the largest.
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const numbers = head.classList.contains("number");
      const before = head.getAttribute("aria-sort");
      const order = before ? (before === "ascending" ? "descending" : "ascending") : numbers ? "descending" : "ascending";
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", order);
      const key = (row) => {
        const cell = row.cells[column];
        return numbers ? Number(cell.dataset.value) : cell.textContent;
      };
      const compare = (a, b) => (numbers ? key(a) - key(b) : key(a).localeCompare(key(b)));
      const sign = order === "ascending" ? 1 : -1;
      body.append(...[...body.rows].sort((a, b) => sign * compare(a, b)));
    });
  });
}
