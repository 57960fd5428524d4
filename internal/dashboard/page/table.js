// Shows the devices as a table.
import { arrange, breakable, h, mark, write } from "./dom.js";
import { fits, natural, route, sorted } from "./board.js";

export const limit = 200; // rows, until more are asked for
let all = false, order = "", down = false;

const rank = d => ({ problem: 0, warning: 1 })[d.trouble?.level] ?? 2;
const columns = [
  ["Device", d => d.label],
  ["Configuration", d => d.configuration],
  ["Node", d => d.nodes.join(", ")],
  ["State", d => d.state],
  ["Slots", d => `${d.held} of ${d.capacity}`],
  ["Used by", d => (d.users || []).map(u => u.name).join(", ")],
  ["What is wrong", d => d.trouble?.why || ""],
];

export function drawTable(root, board, filter, redraw) {
  if (!root.firstChild) make(root, redraw);
  const list = [...board.device.values()].filter(d => fits(d, filter));
  if (order === "What is wrong") list.sort((a, b) => rank(a) - rank(b) || natural(a.label, b.label));
  else if (order) {
    const value = columns.find(c => c[0] === order)[1];
    list.sort((a, b) => natural(value(a), value(b)) || natural(a.label, b.label));
  } else sorted(list, limit);
  if (down) list.reverse();
  for (const th of root.querySelectorAll("th")) {
    mark(th, "aria-sort", th.textContent === order ? (down ? "descending" : "ascending") : null);
  }
  arrange(root.querySelector("tbody"), all ? list : list.slice(0, limit), d => d.key, makeRow, fillRow);
  const button = root.querySelector(".more");
  button.hidden = list.length <= limit;
  write(button, all ? `Show only ${limit}` : `Show ${list.length - limit} more`);
}

function make(root, redraw) {
  const sort = name => () => {
    down = order === name && !down;
    order = name;
    redraw();
  };
  root.append(
    h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Table of devices" }, h("table", null,
      h("thead", null, h("tr", null, ...columns.map(([name]) => h("th", { scope: "col" }, h("button", { type: "button", onclick: sort(name) }, name))))),
      h("tbody"))),
    h("button", { class: "more", type: "button", onclick: () => { all = !all; redraw(); } }));
}

function makeRow() {
  return h("tr", null, h("th", { scope: "row" }, h("a")), ...columns.slice(1).map(([name]) => h("td", { "data-name": name })));
}

function fillRow(row, d) {
  mark(row, "data-level", d.trouble?.level || "well");
  mark(row, "data-key", d.key);
  const link = row.querySelector("a");
  mark(link, "href", route({ kind: "Device", namespace: d.namespace, name: d.name }));
  link.replaceChildren(...breakable(d.label));
  columns.slice(1).forEach(([, value], i) => {
    const cell = row.children[i + 1];
    if (columns[i + 1][0] !== "Used by") return write(cell, value(d));
    cell.replaceChildren(...(d.users || []).map(u => h("div", null,
      h("a", { href: route({ kind: "Pod", namespace: u.namespace, name: u.name }) }, u.name), ` ${u.state}`)));
  });
}
