"use strict";
// Sorts and filters the table of all items. Without this script the table is complete, in its first order.
for (const form of document.querySelectorAll("form.filters")) {
  const table = document.getElementById(form.dataset.table);
  const body = table.tBodies[0];
  const rows = [...body.rows];
  const count = form.querySelector("output");

  form.addEventListener("input", () => {
    const mark = form.elements.mark.value;
    const words = form.elements.words.value.trim().toLowerCase();
    let shown = 0;
    for (const row of rows) {
      const isMarked = !mark || row.dataset.marks.split(" ").includes(mark);
      row.hidden = !(isMarked && row.textContent.toLowerCase().includes(words));
      shown += !row.hidden;
    }
    count.textContent = `${shown} of ${rows.length} items`;
  });
  form.addEventListener("submit", (event) => event.preventDefault());
  form.reset();
  form.hidden = false;

  for (const heading of table.querySelectorAll("th[data-sort]")) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    heading.append(button);
    const text = (row) => row.cells[heading.cellIndex].textContent;
    const compare =
      heading.dataset.sort === "number"
        ? (a, b) => text(a) - text(b)
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
