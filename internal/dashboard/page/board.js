// The board as the server sends it, and what is shown of it: no elements here.

// Board has the newest entries. An entry that has changed is another object.
export class Board {
  constructor() {
    this.clear();
  }
  clear() {
    this.overview = null;
    this.node = new Map();
    this.configuration = new Map();
    this.device = new Map();
    this.event = new Map();
  }
  // apply applies a message of the feed.
  apply(message) {
    if (message.all) this.clear();
    for (const [key, value] of Object.entries(message.set)) {
      if (key === "overview") this.overview = value;
      else this[kindOf(key)]?.set(key, Object.assign(value, { key }));
    }
    for (const key of message.gone) this[kindOf(key)]?.delete(key);
    if (message.all || Object.keys(message.set).some(key => kindOf(key) === "configuration")) {
      // Devices are drawn with what their Configuration says.
      for (const [key, d] of this.device) this.device.set(key, { ...d });
    }
  }
}

const kinds = ["node", "configuration", "device", "event"];
function kindOf(key) {
  const kind = key.slice(0, key.indexOf("/"));
  return kinds.includes(kind) ? kind : "none";
}

const collator = new Intl.Collator("en", { numeric: true });
export const natural = (a, b) => collator.compare(a, b);

export const configurationOf = (board, d) => board.configuration.get(`configuration/${d.namespace}/${d.configuration}`);
export const handlerOf = (board, d) => configurationOf(board, d)?.handler || "other";

const rank = d => d.trouble ? (d.trouble.level === "problem" ? 0 : 1) : 2;
const byLabel = (a, b) => natural(a.label, b.label) || natural(a.name, b.name) || natural(a.namespace, b.namespace);

// sorted puts devices in their order; where not all are shown, what is wrong comes
// first.
export function sorted(devices, limit) {
  return devices.sort(devices.length > limit ? (a, b) => rank(a) - rank(b) || byLabel(a, b) : byLabel);
}

// fits says whether a device is one of those that are looked for.
export function fits(d, filter) {
  if (filter.only && !d.trouble) return false;
  if (!filter.text) return true;
  const words = [d.label, d.name, d.namespace, d.configuration, ...d.nodes, ...(d.users || []).map(u => u.name)];
  return filter.text.split(/\s+/).every(t => words.some(w => w.toLowerCase().includes(t)));
}

// places are where devices are plugged in: each node, the network for those that
// several nodes can reach, and nowhere.
export function places(board, filter, limit) {
  const at = new Map();
  const put = (name, d) => at.has(name) ? at.get(name).push(d) : at.set(name, [d]);
  for (const d of board.device.values()) {
    if (!fits(d, filter)) continue;
    if (d.shared) put("network", d);
    else if (!d.nodes.length) put("nowhere", d);
    else put(`node/${d.nodes[0]}`, d);
  }
  const out = [];
  let others = 0;
  for (const n of [...board.node.values()].sort((a, b) => natural(a.name, b.name))) {
    const devices = at.get(n.key) || [];
    at.delete(n.key);
    const filtered = filter.only || filter.text;
    if (devices.length || (!filtered && (n.agent || n.trouble))) out.push({ key: n.key, kind: "node", node: n, devices });
    else if (!filtered) others++;
  }
  for (const [key, devices] of at) {
    if (key !== "network" && key !== "nowhere") out.push({ key, kind: "node", node: null, name: key.slice(5), devices });
  }
  for (const kind of ["network", "nowhere"]) if (at.has(kind)) out.push({ key: kind, kind, devices: at.get(kind) });
  for (const place of out) sorted(place.devices, limit);
  return { places: out, others };
}

// count counts what the numbers at the top say.
export function count(board) {
  const c = { devices: 0, slots: 0, held: 0, users: 0, ready: 0, nodes: board.node.size, agents: board.overview?.agents || 0 };
  for (const d of board.device.values()) {
    c.devices++;
    c.slots += d.capacity;
    c.held += d.held;
    for (const u of d.users || []) {
      c.users++;
      if (u.health === "ready") c.ready++;
    }
  }
  c.devices += board.overview?.leftOut || 0;
  return c;
}

// news says in a sentence which devices have come and gone.
export function news(before, now) {
  const names = (list, what) => list.length
    ? `${list.slice(0, 3).join(", ")}${list.length > 3 ? ` and ${list.length - 3} more` : ""} ${list.length === 1 ? "has" : "have"} ${what}.` : "";
  const came = [], gone = [];
  for (const [key, d] of now) if (!before.has(key)) came.push(d.label);
  for (const [key, d] of before) if (!now.has(key)) gone.push(d.label);
  return [names(came, "come"), names(gone, "gone")].filter(Boolean).join(" ");
}

// route is the address of the details of something; null if it cannot be asked
// about.
export function route(subject) {
  if (!["Configuration", "Device", "Node", "Pod"].includes(subject.kind)) return null;
  return `#/${subject.kind}/${encodeURIComponent(subject.namespace || "")}/${encodeURIComponent(subject.name)}`;
}

// subjectOf reads such an address; null if it is none, and {} for the whole
// cluster.
export function subjectOf(hash) {
  if (hash === "#/cluster") return {};
  const parts = hash.split("/");
  if (parts[0] !== "#" || parts.length !== 4) return null;
  try {
    return { kind: parts[1], namespace: decodeURIComponent(parts[2]), name: decodeURIComponent(parts[3]) };
  } catch {
    return null; // what somebody typed
  }
}
