"use strict";
// Draws each state that /api/events sends. Elements are kept by key, so that
// what a person opened stays open.

const el = (tag, cls, text) => {
  const e = document.createElement(tag);
  if (cls) e.className = cls;
  if (text !== undefined) e.textContent = text;
  return e;
};
const plural = (n, word) => `${n} ${word}${n === 1 ? "" : "s"}`;
const bytes = n => {
  const units = ["bytes", "KiB", "MiB", "GiB", "TiB"];
  let i = 0;
  while (n >= 1024 && i < units.length - 1) { n /= 1024; i++; }
  return `${i ? n.toFixed(1) : n} ${units[i]}`;
};
const main = document.getElementById("main");
const sections = new Map(), cards = new Map();
let before = null; // instances of the state before, by key

function draw(state) {
  const sum = document.getElementById("sum");
  if (state.error) { sum.textContent = state.error; sum.className = "bad"; return; }
  sum.className = "";
  const now = new Map();
  const keep = new Set();
  for (const c of state.configurations) {
    const key = `${c.namespace}/${c.name}`;
    keep.add(key);
    section(key, c);
    for (const i of c.instances) now.set(`${c.namespace}/${i.name}`, { c, i });
  }
  for (const [key, s] of sections) if (!keep.has(key)) { s.root.remove(); sections.delete(key); }
  for (const [key, card] of cards) {
    if (now.has(key) || card.classList.contains("going")) continue;
    card.classList.add("going");
    setTimeout(() => { card.remove(); if (cards.get(key) === card) cards.delete(key); }, 300);
  }
  const brokers = [...now.values()].reduce((n, x) => n + (x.i.brokers || []).filter(b => b.phase === "Running").length, 0);
  sum.textContent = `${plural(state.configurations.length, "Configuration")}, ${plural(now.size, "device")}, ${plural(brokers, "running broker")}`;
  if (!state.configurations.length && !main.querySelector(".empty")) main.append(el("p", "empty", "No Configuration yet. Apply one: kubectl apply -f configuration.yaml"));
  if (state.configurations.length) main.querySelector(":scope > .empty")?.remove();
  if (before) changes(before, now);
  before = now;
}

function section(key, c) {
  let s = sections.get(key);
  if (!s) {
    s = { root: el("section"), head: el("div", "head"), grid: el("div", "grid"), none: el("p", "empty", "No device found yet.") };
    s.root.append(s.head, s.none, s.grid);
    s.root.setAttribute("aria-label", `Configuration ${c.name}`);
    main.append(s.root);
    sections.set(key, s);
  }
  const head = [el("h2", "", c.name), el("span", "chip", `${c.handler} in ${c.namespace}`)];
  for (const n of c.nodes || []) {
    const chip = el("span", `chip ${n.state}`, `${n.name}: ${n.state}${n.state === "Active" ? "" : n.message ? ", " + n.message : ""}`);
    if (n.message) chip.title = n.message;
    head.push(chip);
  }
  for (const t of c.problems || []) head.push(el("span", "chip bad", t));
  s.head.replaceChildren(...head);
  s.none.hidden = c.instances.length > 0;
  const drawn = c.instances.map(i => card(`${c.namespace}/${i.name}`, i));
  drawn.forEach((d, at) => { if (s.grid.children[at] !== d) s.grid.insertBefore(d, s.grid.children[at] || null); });
}

function card(key, i) {
  let root = cards.get(key);
  if (!root || root.classList.contains("going")) {
    root = el("article", "card");
    root.body = el("div");
    root.more = el("details");
    root.list = el("dl");
    root.more.append(el("summary", "", "Properties"), root.list);
    root.append(root.body, root.more);
    cards.set(key, root);
  }
  const text = JSON.stringify(i);
  if (root.text === text) return root;
  root.text = text;
  const phases = (i.brokers || []).map(b => b.phase);
  const broken = (i.brokers || []).some(b => b.broken) || (i.problems || []).length > 0;
  const phase = broken ? "bad" : phases.includes("Running") ? "Running" : phases.some(p => p === "Pending" || p === "ContainerCreating" || p === "PodInitializing") ? "Pending" : phases.some(p => p === "Failed" || p === "Unknown") ? "bad" : "";
  root.className = `card ${phase}`;
  const slots = el("div", "slots");
  slots.setAttribute("aria-hidden", "true");
  for (let n = 0; n < Math.min(i.capacity, 20); n++) slots.append(el("i", n < i.used ? "used" : ""));
  const body = [el("h3", "", i.device || i.name), el("p", "mono soft", i.name), slots,
    el("p", "soft", `${i.used} of ${plural(i.capacity, "slot")} used, ${i.shared ? "shared by" : "on"} ${(i.nodes || []).join(", ") || "no node"}`)];
  for (const b of i.brokers || []) {
    const p = el("p", b.broken ? "bad" : b.phase === "Running" ? "good" : b.phase === "Failed" || b.phase === "Unknown" ? "bad" : "wait", `${b.phase}: `);
    p.append(el("span", "mono", b.pod));
    body.push(p);
  }
  for (const t of i.problems || []) body.push(el("p", "bad", t));
  body.push(...answer(i.answer));
  root.body.replaceChildren(...body);
  const rows = [];
  for (const [k, v] of Object.entries(i.properties || {})) rows.push(el("dt", "", k), el("dd", "mono", v));
  root.list.replaceChildren(...rows);
  root.more.hidden = rows.length === 0;
  return root;
}

// answer tells in words what the sample broker said of its device nodes.
function answer(a) {
  const out = [];
  for (const d of (a && a.devices) || []) for (const n of d.nodes || []) {
    if (n.opened) out.push(el("p", "soft", `The broker opened ${n.path}, ${n.kind} device ${n.major}:${n.minor}${n.size ? ", " + bytes(n.size) : ""}.`));
    else out.push(el("p", "bad", `The broker cannot open ${n.path}: ${n.error}`));
  }
  return out;
}

function changes(old, now) {
  for (const [key, { c, i }] of now) {
    const had = old.get(key);
    if (!had) say(`${i.device || i.name} appeared (${c.name}).`);
    const was = new Map((had ? had.i.brokers || [] : []).map(b => [b.pod, b.phase]));
    for (const b of i.brokers || []) if (b.phase === "Running" && was.get(b.pod) !== "Running") say(`Broker ${b.pod} runs.`);
  }
  for (const [key, { c, i }] of old) if (!now.has(key)) say(`${i.device || i.name} is gone (${c.name}).`);
}

function say(text) {
  const log = document.getElementById("log");
  log.querySelector(".soft")?.remove();
  const li = el("li"), time = el("time", "", new Date().toLocaleTimeString());
  li.append(time, text);
  log.prepend(li);
  while (log.children.length > 100) log.lastChild.remove();
}

const link = document.getElementById("link");
const source = new EventSource("api/events");
source.onopen = () => { link.className = "live"; link.textContent = "live"; };
source.onerror = () => { link.className = "lost"; link.textContent = "connection lost, trying again"; };
source.onmessage = e => draw(JSON.parse(e.data));
