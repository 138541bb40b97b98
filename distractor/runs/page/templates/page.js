"use strict";
// Sorts and filters the table of all items. Without this script the table is complete, in its first order.
for (const form of document.querySelectorAll("form.filters")) {
  const table = document.getElementById(form.dataset.table);
  const body = table.tBodies[0];
  const rows = [...body.rows];
  const words = rows.map((row) => row.textContent.toLowerCase());
  const marks = rows.map((row) => new Set(row.dataset.marks.split(" ")));
  const count = form.querySelector("output");

  const filter = () => {
    const mark = form.elements.mark.value;
    const wanted = form.elements.words.value.trim().toLowerCase();
    let shown = 0;
    rows.forEach((row, index) => {
      const isShown = (!mark || marks[index].has(mark)) && words[index].includes(wanted);
      row.hidden = !isShown;
      shown += isShown;
    });
    count.textContent = `${shown} of ${rows.length} items`;
  };
  form.addEventListener("input", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
  filter();

  for (const heading of table.querySelectorAll("th[data-sort]")) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    heading.append(button);
    const column = heading.cellIndex;
    const text = (row) => row.cells[column].textContent;
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
