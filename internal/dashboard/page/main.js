// The page: gets the board, draws it, and shows the details of what is clicked.
import { arrange, h, icon, mark, plural, write } from "./dom.js";
import { Board, count, news, route, subjectOf } from "./board.js";
import { drawPicture, trouble } from "./picture.js";
import { drawTable } from "./table.js";
import { drawWhy, title, when } from "./why.js";

const $ = id => document.getElementById(id);
const board = new Board();
const filter = { text: "", only: false };
let view = "picture", stream = null, known = null, frame = 0;

// draw draws everything that has changed, once for all that came since the last
// frame.
function draw() {
  if (!frame) frame = requestAnimationFrame(() => { frame = 0; drawNow(); });
}

function drawNow() {
  const o = board.overview;
  if (!o) return;
  const there = !o.reading;
  const c = count(board);
  const wrong = o.wrong?.length > 0;
  const headline = wrong ? plural(o.findings, o.well ? "thing to look at" : "thing is wrong", o.well ? "things to look at" : "things are wrong")
    : c.devices ? "All is well" : o.answer;
  write($("answer"), there ? headline : o.answer);
  mark($("answer"), "data-level", !there ? null : !wrong ? "well" : o.well ? "warning" : "problem");
  document.title = wrong ? `(${o.findings}) Akri` : "Akri";
  drawNotice(o);
  for (const id of ["stats", "tools"]) $(id).hidden = !there;
  drawStats(c);
  drawWrong(o);
  drawLooked();
  drawEmpty(o, c);
  $("picture").hidden = view !== "picture";
  $("table").hidden = view !== "table";
  if (view === "picture") drawPicture($("picture"), board, filter, draw);
  else drawTable($("table"), board, filter, draw);
  drawEvents();
  tell();
}

function drawNotice(o) {
  const says = [];
  if (o.away) says.push(`The API server does not answer since ${when(o.away.since)}; this is what was so then. (${o.away.why})`);
  if (o.unseen) says.push(`Not all can be read: ${o.unseen.map(u => `${u.what} (${u.why})`).join("; ")}.`);
  if (o.leftOut) says.push(`${plural(o.leftOut, "device is", "devices are")} not shown, since there are too many.`);
  $("notice").hidden = !says.length;
  write($("notice"), says.join(" "));
}

function drawStats(c) {
  const n = value => value.toLocaleString("en");
  write($("count-devices"), n(c.devices));
  write($("count-slots"), `${n(c.held)} of ${n(c.slots)}`);
  write($("count-users"), c.users === c.ready ? n(c.users) : `${n(c.ready)} of ${n(c.users)} run`);
  write($("count-nodes"), c.nodes === c.agents ? n(c.nodes) : `${n(c.nodes)}, ${n(c.agents)} with an agent`);
}

const shownWrong = 4;

function drawWrong(o) {
  const wrong = o.wrong || [];
  $("wrong").hidden = !wrong.length;
  arrange($("wrong").querySelector("ul"), wrong.slice(0, shownWrong), w => `${w.cause} ${w.about.kind} ${w.about.namespace} ${w.about.name} ${w.why}`,
    () => h("li", null, h("a")), (li, w) => {
      const a = li.firstChild;
      mark(a, "href", route(w.about) || "#/cluster");
      mark(a, "data-level", w.level);
      a.replaceChildren(h("strong", null, `${w.about.kind} ${w.about.name}`), h("span", null, w.why));
    });
  const more = $("all-wrong");
  more.hidden = o.findings <= shownWrong;
  write(more, `All ${o.findings} findings`);
}

function drawLooked() {
  const list = [...board.configuration.values()].sort((a, b) => a.name.localeCompare(b.name));
  $("looked").hidden = !list.length;
  const devices = new Map();
  for (const d of board.device.values()) {
    const key = `configuration/${d.namespace}/${d.configuration}`;
    devices.set(key, (devices.get(key) || 0) + 1);
  }
  const items = list.map(c => ({ ...c, devices: devices.get(c.key) || 0 }));
  arrange($("looked").querySelector("ul"), items, c => c.key, () => h("li", null, h("a")), (li, c) => {
    const a = li.firstChild;
    const says = `${c.handler} · ${plural(c.devices, "device", "devices")}${c.states?.Active ? "" : " · no handler answers"}`;
    mark(a, "href", route({ kind: "Configuration", namespace: c.namespace, name: c.name }));
    mark(a, "data-level", c.trouble?.level || "well");
    if (!a.firstChild) a.append(icon(c.handler), h("strong"), h("span", { class: "soft" }), h("span", { class: "trouble" }));
    write(a.children[1], c.name);
    write(a.children[2], says);
    trouble(a.children[3], c.trouble);
  });
}

// drawEmpty says what to do where nothing is.
function drawEmpty(o, c) {
  const shown = view === "picture" ? $("picture") : $("table");
  let says = null;
  if (o.reading) says = ["Reading the cluster…"];
  else if (!o.agents && !c.devices) says = ["No agent runs, so nobody looks for devices.", "helm install akri <chart> --set udev.discovery.enabled=true"];
  else if (!board.configuration.size && !c.devices) says = ["No Configuration yet, so nobody looks for devices. Write one; what it finds appears here by itself.",
    "kubectl apply -f samples/configurations/zram.yaml"];
  else if (!c.devices) says = ["No device yet. Plug one in; it appears here by itself. If it should be there, ask above why it is not."];
  else if (filter.text && ![...board.device.values()].some(d => d.label.toLowerCase().includes(filter.text) || d.name.includes(filter.text))) {
    says = [`No device is called so. Press "Why?" to learn why ${$("find").value.trim()} is not there.`];
  } else if (filter.only && !o.wrong?.length) says = ["Nothing is wrong."];
  $("empty").hidden = !says;
  const key = (says || []).join("\n");
  if ($("empty").dataset.key !== key) {
    $("empty").dataset.key = key;
    $("empty").replaceChildren(...(says || []).map((s, i) => i ? h("code", null, s) : h("p", null, s)));
  }
  shown.hidden = Boolean(o.reading);
}

function drawEvents() {
  const list = [...board.event.values()].sort((a, b) => b.at.localeCompare(a.at)).slice(0, 40);
  document.querySelector("aside").hidden = !list.length;
  arrange($("events"), list, e => e.key, () => h("li"), (li, e) => {
    const to = route(e.about);
    mark(li, "data-level", e.warning ? "warning" : null);
    li.replaceChildren(h("time", { datetime: e.at, title: when(e.at) }, new Date(e.at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit" })),
      to ? h("a", { href: to }, e.about.name) : h("strong", null, e.about.name), h("span", null, `${e.reason}: ${e.note}`));
  });
}

// tell says to screen readers which devices have come and gone.
function tell() {
  const now = new Map(board.device);
  if (known && !board.overview.reading) {
    const says = news(known, now);
    if (says) write($("news"), says);
  }
  if (!board.overview.reading) known = now;
}

// Details.

const dialog = $("why");
let asked = "", refresh = 0, opener = null;

function showRoute() {
  const s = subjectOf(location.hash);
  if (!s) {
    asked = "";
    if (dialog.open) dialog.close();
    return;
  }
  if (!dialog.open) {
    opener = document.activeElement;
    dialog.showModal();
  }
  if (asked !== location.hash) {
    asked = location.hash;
    write($("why-title"), title(s));
    $("why-body").replaceChildren(h("p", { class: "soft" }, "Looking…"));
    dialog.scrollTop = 0;
  }
  ask(s, location.hash);
}

let shown = "";
async function ask(s, hash) {
  const query = new URLSearchParams(Object.entries(s).filter(([, v]) => v));
  let text, ok;
  try {
    const answer = await fetch(`api/explain?${query}`, { cache: "no-store" });
    ok = answer.ok;
    text = await answer.text();
  } catch {
    [ok, text] = [false, "The dashboard does not answer."];
  }
  if (hash !== asked) return; // something else was clicked meanwhile
  if (shown === hash + text && $("why-body").children.length > 1) return;
  shown = hash + text;
  if (!ok) {
    $("why-body").replaceChildren(h("p", { class: "verdict", "data-level": "problem" }, text.trim()), h("p", { class: "soft" },
      "If it has just gone, close this and look at what happened."));
    return;
  }
  const answer = JSON.parse(text);
  write($("why-title"), title(s, answer));
  drawWhy($("why-body"), answer);
}

// again asks again, if something is shown, since the cluster has changed.
function again() {
  if (!asked || refresh) return;
  refresh = setTimeout(() => {
    refresh = 0;
    showRoute();
  }, 1000);
}

dialog.addEventListener("close", () => {
  if (subjectOf(location.hash)) history.pushState(null, "", location.pathname + location.search);
  asked = "";
  opener?.isConnected && opener.focus();
});
dialog.addEventListener("click", event => { if (event.target === dialog) dialog.close(); });
$("close").addEventListener("click", () => dialog.close());
window.addEventListener("hashchange", showRoute);

// The tools.

$("tools").addEventListener("submit", event => {
  event.preventDefault();
  const name = $("find").value.trim();
  if (!name) { location.hash = "#/cluster"; return; }
  location.hash = route({ kind: "Device", name });
});
$("find").addEventListener("input", () => { filter.text = $("find").value.trim().toLowerCase(); draw(); });
$("only").addEventListener("change", () => { filter.only = $("only").checked; draw(); });
$("all-wrong").addEventListener("click", () => { location.hash = "#/cluster"; });
for (const radio of document.querySelectorAll("[name=view]")) {
  radio.addEventListener("change", () => { view = radio.value; draw(); });
}

// The connection. Nothing is sent while nobody can see the page.

function connected(state, says) {
  mark($("link"), "class", state);
  write($("link"), says);
  document.body.classList.toggle("old", state === "lost");
}

function listen() {
  if (document.hidden || stream) return;
  stream = new EventSource("api/live");
  stream.addEventListener("message", event => {
    board.apply(JSON.parse(event.data));
    connected("live", "live");
    draw();
    again();
  });
  stream.addEventListener("error", async () => {
    connected("lost", "connection lost, trying again");
    if (stream?.readyState !== EventSource.CLOSED) return; // it tries again by itself
    stop();
    if (await allowed()) setTimeout(listen, 2000);
  });
}

function stop() {
  stream?.close();
  stream = null;
}

// allowed reports whether this browser may look; if not, it asks for the token.
async function allowed() {
  let status = 0;
  try {
    status = (await fetch("api/session", { cache: "no-store" })).status;
  } catch { /* it is away: the stream tries again */ }
  if (status === 401 && !$("login").open) $("login").showModal();
  return status !== 401;
}

async function login(token) {
  try {
    const answer = await fetch("api/login", { method: "POST", body: new URLSearchParams({ token }) });
    if (answer.ok) return "";
    return (await answer.text()).trim();
  } catch {
    return "The dashboard does not answer.";
  }
}

$("login").addEventListener("cancel", event => event.preventDefault());
$("login").querySelector("form").addEventListener("submit", async event => {
  event.preventDefault();
  const failed = await login($("token").value);
  write($("login-error"), failed);
  if (failed) return;
  $("token").value = "";
  $("login").close();
  listen();
});

document.addEventListener("visibilitychange", () => {
  if (document.hidden) stop();
  else listen();
});

async function begin() {
  // An address may have the token behind #, which no server and no log gets.
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (given) {
    history.replaceState(null, "", location.pathname + location.search);
    write($("login-error"), await login(given));
  }
  showRoute();
  if (await allowed()) listen();
}
begin();
