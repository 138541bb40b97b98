"use strict";
// Sorts tables and filters the table of all items. Without this script tables are complete, in their first order.
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const rows = [...body.rows];

  for (const heading of table.querySelectorAll("th[data-sort]")) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    heading.append(button);
    const cell = (row) => row.cells[heading.cellIndex];
    const text = (row) => cell(row).textContent;
    const number = (row) => parseFloat(cell(row).dataset.value ?? text(row));
    const compare =
      heading.dataset.sort === "number"
        ? (a, b) => (number(a) || 0) - (number(b) || 0)
        : (a, b) => text(a).localeCompare(text(b), "en", { numeric: true });
    button.addEventListener("click", () => {
      const isAscending = heading.getAttribute("aria-sort") !== "ascending";
      for (const other of table.querySelectorAll("th[aria-sort]")) other.removeAttribute("aria-sort");
      heading.setAttribute("aria-sort", isAscending ? "ascending" : "descending");
      const ordered = [...rows].sort(compare);
      body.append(...(isAscending ? ordered : ordered.reverse()));
    });
  }
}

for (const form of document.querySelectorAll("form.filters")) {
  const rows = [...document.getElementById(form.dataset.table).tBodies[0].rows];
  const count = form.querySelector("output");

  form.addEventListener("input", () => {
    const mark = form.elements.mark.value;
    const group = form.elements.group?.value;
    const words = form.elements.words.value.trim().toLowerCase();
    let shown = 0;
    for (const row of rows) {
      const isMarked = !mark || row.dataset.marks.split(" ").includes(mark);
      const isInGroup = !group || row.cells[row.cells.length - 1].textContent === group;
      row.hidden = !(isMarked && isInGroup && row.textContent.toLowerCase().includes(words));
      shown += !row.hidden;
    }
    count.textContent = `${shown} of ${rows.length} items`;
  });
  form.addEventListener("submit", (event) => event.preventDefault());
  form.reset();
  form.hidden = false;
}
