"use strict";
// Shows the servers that /live tells of, their values as a line, and the outliers
// among them.

const $ = id => document.getElementById(id);
const svg = "http://www.w3.org/2000/svg";
const maxSpan = 180_000, minSpan = 30_000; // what the charts show, in milliseconds
const gap = 5_000;                         // without a value for so long the line ends
const maxRows = 100, keptPoints = 600;
const OUTLIER = 1, LEARNING = 2;
const servers = new Map(); // by id: what is known, and the element
let order = [], paused = false, known = null;

const digits = new Intl.NumberFormat(undefined, { maximumSignificantDigits: 7 });
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const show = (element, text) => { if (element.textContent !== text) element.textContent = text; };
const nameOf = s => s.name.replace(/^opc\.tcp:\/\//, "") || (s.id === "main" ? "All servers" : s.id);
const verdictOf = (s, p) => p[2] === OUTLIER ? "◆ Outlier" : p[2] === LEARNING ? `Learning, ${s.learnt} of ${s.first}` : "Usual";

// merge takes a message: all servers, with the values that are new.
function merge(message) {
  const problem = $("problem");
  problem.hidden = !message.problem;
  show(problem, message.problem || "");
  order = message.servers.map(e => {
    const s = servers.get(e.id) || { name: "", points: [], count: 0 };
    const fresh = e.points || [];
    // After a new start, ours or of the program's, all of them come.
    s.points = s.count + fresh.length === e.count ? s.points.concat(fresh).slice(-keptPoints) : fresh;
    Object.assign(s, { name: "", reason: "", usual: null, learnt: 0, first: 0 }, e, { points: s.points });
    servers.set(e.id, s);
    return s;
  });
  const there = new Set(message.servers.map(e => e.id));
  for (const [id, s] of servers) if (!there.has(id)) { s.root?.remove(); servers.delete(id); }
  tell();
  if (!paused) draw();
}

function draw() {
  const list = $("servers"), now = Date.now();
  $("none").hidden = order.length > 0;
  $("log").hidden = order.length === 0;
  const live = order.filter(s => s.state === "live").length;
  show($("sum"), `${order.length} server${order.length === 1 ? "" : "s"}, ${live} live`);
  $("sum").className = "";
  order.forEach((s, at) => {
    card(s, now);
    if (list.children[at] !== s.root) list.insertBefore(s.root, list.children[at] || null);
  });
  for (const child of [...list.children]) if (!order.some(s => s.root === child)) child.remove();
  table();
}

// card writes what is known of a server into its element.
function card(s, now) {
  if (!s.root) {
    s.root = $("server").content.firstElementChild.cloneNode(true);
    s.root.dataset.id = s.id;
  }
  const root = s.root, part = c => root.querySelector(c), last = s.points.at(-1);
  for (const state of ["waiting", "live", "lost"]) root.classList.toggle(state, s.state === state);
  const alarm = s.state === "live" && last?.[2] === OUTLIER;
  root.classList.toggle("alarm", alarm);
  root.classList.toggle("outlier", alarm);
  show(part(".name"), nameOf(s));
  show(part(".detail"), s.name && s.name !== s.id ? s.id : "");
  show(part(".value"), last && s.state === "live" ? digits.format(last[1]) : "–");
  show(part(".verdict"), last && s.state === "live" ? verdictOf(s, last) : "");
  const why = s.reason ? `: ${s.reason}` : "";
  show(part(".state"), s.state === "live" ? "" : s.state === "waiting" ? `Waiting for a value${why}` : `Server lost${why}`);
  show(part(".usual"), s.usual ? `usual: ${digits.format(s.usual[0])} to ${digits.format(s.usual[1])}` : "");
  const span = chart(part(".chart"), s, now) / 1000;
  show(part(".began"), span < 120 ? `${Math.round(span / 10) * 10} s ago` : `${Math.round(span / 60)} min ago`);
}

function make(kind, attributes, text) {
  const e = document.createElementNS(svg, kind);
  for (const [name, value] of Object.entries(attributes)) e.setAttribute(name, value);
  if (text) e.textContent = text;
  return e;
}

// chart draws the values of the last minutes: a band for the usual ones, a line that
// stays at each value until the next one, and a mark for each outlier. It returns how
// long a time that is.
function chart(root, s, now) {
  const width = root.clientWidth || 400, height = root.clientHeight || 144, edge = 8, left = 8;
  const span = Math.min(maxSpan, Math.max(minSpan, now - (s.points[0]?.[0] ?? now)));
  const began = now - span;
  const first = s.points.findIndex(p => p[0] >= began);
  const points = first < 0 ? [] : s.points.slice(Math.max(0, first - 1));
  const outliers = points.filter(p => p[2] === OUTLIER && p[0] >= began);
  root.setAttribute("aria-label", summary(s, points, outliers.length));
  root.setAttribute("viewBox", `0 0 ${width} ${height}`);
  const values = points.map(p => p[1]).concat(s.usual || []);
  if (values.length === 0) { root.replaceChildren(); return span; }
  let low = Math.min(...values), high = Math.max(...values);
  const room = (high - low) * 0.1 || Math.abs(high) * 0.1 || 1;
  low -= room; high += room;
  const x = t => left + Math.max(0, t - began) / span * (width - left - edge);
  const y = v => edge + (high - v) / (high - low) * (height - 2 * edge);
  const parts = [];
  if (s.usual) {
    const top = y(s.usual[1]), bottom = y(s.usual[0]);
    parts.push(make("rect", { class: "band", x: left, y: top, width: width - left - edge, height: Math.max(2, bottom - top) }));
  }
  for (const v of [low + room, high - room]) {
    parts.push(make("line", { class: "grid", x1: left, x2: width - edge, y1: y(v), y2: y(v) }));
    parts.push(make("text", { x: left + 2, y: y(v) + (v === low + room ? 13 : -4) }, digits.format(v)));
  }
  let path = "";
  points.forEach((p, i) => {
    const before = points[i - 1], at = `${x(p[0]).toFixed(1)}`;
    path += before && p[0] - before[0] < gap ? `H${at}V${y(p[1]).toFixed(1)}` : `M${at} ${y(p[1]).toFixed(1)}`;
  });
  if (path && s.state === "live") path += `H${x(now).toFixed(1)}`;
  parts.push(make("path", { class: "line", d: path }));
  for (const p of outliers) {
    const px = x(p[0]), py = y(p[1]);
    parts.push(make("path", { class: "mark", d: `M${px} ${py - 6}L${px + 5} ${py}L${px} ${py + 6}L${px - 5} ${py}Z` }));
  }
  root.replaceChildren(...parts);
  return span;
}

function summary(s, points, outliers) {
  const last = points.at(-1);
  if (!last) return `${nameOf(s)}: no value`;
  const usual = s.usual ? `, usual are ${digits.format(s.usual[0])} to ${digits.format(s.usual[1])}` : "";
  return `${nameOf(s)}: ${digits.format(last[1])}${usual}; outliers in the chart: ${outliers}`;
}

// table shows the latest changes of all servers. A value that stays has one row.
let shown = "";
function table() {
  const only = $("only").checked, rows = [];
  for (const s of order) {
    s.points.forEach((p, i) => {
      const before = s.points[i - 1];
      if (before && before[1] === p[1] && before[2] === p[2]) return;
      if (!only || p[2] === OUTLIER) rows.push([s, p]);
    });
  }
  rows.sort((a, b) => b[1][0] - a[1][0]);
  rows.length = Math.min(rows.length, maxRows);
  $("empty").hidden = !(only && rows.length === 0);
  const now = rows.map(([s, p]) => `${nameOf(s)} ${p[0]} ${p[1]} ${p[2]}`).join("\n");
  if (now === shown) return;
  shown = now;
  $("rows").replaceChildren(...rows.map(([s, p]) => {
    const row = document.createElement("tr");
    row.classList.toggle("outlier", p[2] === OUTLIER);
    const verdict = p[2] === OUTLIER ? "◆ Outlier" : p[2] === LEARNING ? "Learning" : "Usual";
    [clock.format(p[0]), nameOf(s), digits.format(p[1]), verdict].forEach((text, column) => {
      const cell = row.insertCell();
      cell.textContent = text;
      if (column === 2) cell.className = "number";
    });
    return row;
  }));
}

// tell says to screen readers which servers have come, gone, or were lost, and where
// an outlier has begun.
function tell() {
  const now = new Map(order.map(s => [s.id, { name: nameOf(s), state: s.state, value: s.points.at(-1)?.[1], out: s.points.at(-1)?.[2] === OUTLIER }]));
  const news = [];
  if (known) {
    for (const [id, s] of now) {
      const before = known.get(id);
      if (!before) news.push(`${s.name} has come.`);
      else if (before.state !== s.state) news.push(`${s.name} is ${s.state}.`);
      if (s.out && !before?.out) news.push(`Outlier: ${digits.format(s.value)} at ${s.name}.`);
    }
    for (const [id, s] of known) if (!now.has(id)) news.push(`${s.name} has gone.`);
  }
  known = now;
  if (news.length) $("news").textContent = news.join(" ");
}

// Nothing is loaded while nobody can see the page.
let source = null;
function listen() {
  if (document.hidden || source) return;
  source = new EventSource("live");
  source.onmessage = e => merge(JSON.parse(e.data));
  source.onerror = () => {
    $("sum").className = "bad";
    show($("sum"), "Connection lost, trying again");
    for (const s of order) Object.assign(s, { state: s.points.length ? "lost" : "waiting", reason: "no connection to this application" });
    order.forEach(s => { if (s.root) card(s, Date.now()); });
    if (source.readyState === EventSource.CLOSED) { // it was refused, and does not try by itself
      source.close();
      source = null;
      setTimeout(listen, 2000);
    }
  };
}
document.addEventListener("visibilitychange", () => {
  if (document.hidden) { source?.close(); source = null; } else listen();
});
addEventListener("resize", () => { if (!paused) draw(); });
$("only").addEventListener("change", table);
$("pause").addEventListener("click", () => {
  paused = !paused;
  $("pause").setAttribute("aria-pressed", String(paused));
  show($("pause"), paused ? "Go on" : "Pause");
  if (!paused) draw();
});
listen();
