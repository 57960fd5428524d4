// Draws what is plugged into what: a node, a cable to each of its devices, the
// device's slots, and a cable to each of its users.
import { arrange, breakable, h, icon, mark, plural, write } from "./dom.js";
import { configurationOf, handlerOf, places, route } from "./board.js";

export const limit = 60; // devices of a place, until more are asked for
const more = new Set(); // keys of places that show all

export function drawPicture(root, board, filter, redraw) {
  const { places: list, others } = places(board, filter, limit);
  for (const p of list) p.board = board;
  if (others) list.push({ key: "others", kind: "others", others });
  arrange(root, list, p => p.key, makePlace, (section, p) => fillPlace(section, p, redraw));
}

function makePlace(p) {
  if (p.kind === "others") return h("p", { class: "soft others" });
  return h("section", { class: `place ${p.kind}` },
    h("h3", null, h("a", { class: "name" }), h("span", { class: "soft state" }), h("span", { class: "soft number" })),
    h("p", { class: "trouble" }),
    h("ul", { class: "devices" }),
    h("button", { class: "more", type: "button" }));
}

const titles = { network: "On the network", nowhere: "Seen by no node" };

function fillPlace(section, p, redraw) {
  if (p.kind === "others") {
    write(section, `${plural(p.others, "node has", "nodes have")} no agent, and no devices.`);
    return;
  }
  const name = section.querySelector(".name");
  if (!name.firstChild) name.append(icon(p.kind), h("span"));
  write(name.lastChild, titles[p.kind] || p.node?.name || p.name);
  mark(name, "href", p.node ? route({ kind: "Node", name: p.node.name }) : null);
  write(section.querySelector(".state"), p.node ? nodeState(p.node) : p.kind === "network" ? "devices that several nodes can reach" : "");
  write(section.querySelector(".number"), plural(p.devices.length, "device", "devices"));
  mark(section, "data-level", p.node?.trouble?.level || null);
  trouble(section.querySelector(":scope > .trouble"), p.node?.trouble);
  const all = more.has(p.key);
  const shown = all ? p.devices : p.devices.slice(0, limit);
  const list = section.querySelector(".devices");
  list.classList.toggle("long", shown.length > limit);
  arrange(list, shown, d => d.key, makeDevice, (row, d) => fillDevice(row, d, p.board));
  const button = section.querySelector(".more");
  button.hidden = p.devices.length <= limit;
  write(button, all ? `Show only ${limit}` : `Show ${p.devices.length - limit} more`);
  button.onclick = () => {
    if (!more.delete(p.key)) more.add(p.key);
    redraw();
  };
}

export function nodeState(n) {
  if (n.gone) return "gone";
  const says = [n.ready ? "ready" : "not ready"];
  if (!n.agent) says.push("no agent");
  else if (n.agent !== "Running") says.push(`agent: ${n.agent}`);
  if (n.handlers) says.push(n.handlers.join(", "));
  return says.join(" · ");
}

export function trouble(p, t) {
  p.hidden = !t;
  mark(p, "data-level", t?.level || null);
  write(p, t?.why || "");
}

function makeDevice() {
  return h("li", { class: "device" },
    h("a", { class: "plug" }),
    h("span", { class: "cable" }, h("span", { class: "slots", role: "img" })),
    h("span", { class: "users" }),
    h("p", { class: "trouble" }));
}

const states = { missing: "missing", unknown: "unknown", leaving: "leaving" };

function fillDevice(row, d, board) {
  const level = d.trouble?.level || "well";
  mark(row, "data-level", level);
  mark(row, "data-state", d.state);
  mark(row, "data-key", d.key);
  const worst = (d.users || []).reduce((w, u) => u.health === "broken" || w === "broken" ? "broken" : u.health === "starting" ? "starting" : w,
    d.users?.length ? "ready" : "none");
  mark(row, "data-users", worst);
  const plug = row.querySelector(".plug");
  mark(plug, "href", route({ kind: "Device", namespace: d.namespace, name: d.name }));
  const handler = handlerOf(board, d);
  const under = [d.configuration];
  if (states[d.state]) under.push(states[d.state]);
  if (d.shared) under.push(`seen by ${d.nodes.join(", ") || "nobody"}`);
  plug.replaceChildren(icon(handler), h("span", { class: "label" }, ...breakable(d.label)), h("span", { class: "sub" }, under.join(" · ")));
  slots(row.querySelector(".slots"), d);
  users(row.querySelector(".users"), d, configurationOf(board, d));
  trouble(row.querySelector(".trouble"), d.trouble);
}

const maxSlots = 8; // that are drawn one by one

function slots(root, d) {
  mark(root, "aria-label", `${d.held} of ${plural(d.capacity, "slot", "slots")} in use`);
  if (d.capacity > maxSlots) {
    root.replaceChildren(h("span", { class: "many" }, `${d.held}/${d.capacity}`));
    return;
  }
  root.replaceChildren(...Array.from({ length: d.capacity }, (_, i) => h("i", { class: i < d.held ? "held" : null })));
}

function users(root, d, configuration) {
  const list = d.users || [];
  if (!list.length) {
    root.replaceChildren(h("span", { class: "free" }, d.held ? "in use" : d.state !== "online" ? "no user" : configuration?.broker ? "no broker yet" : "free"));
    return;
  }
  root.replaceChildren(...list.map(u => h("a", { class: "user", "data-health": u.health,
    href: route({ kind: "Pod", namespace: u.namespace, name: u.name }) },
  h("span", { class: "label" }, u.name),
  h("span", { class: "sub" }, [u.state, u.broker ? "broker" : "", d.shared && u.node ? u.node : ""].filter(Boolean).join(" · ")))));
}
