"use strict";
// Shows the cameras that /live tells of, and their pictures. All comes over one
// connection, as records (see live.go); a picture that comes while the one before
// is being decoded takes its place.

const mainID = "main";
const $ = id => document.getElementById(id);
const large = $("large"), tiles = $("tiles"), text = new TextDecoder();
const views = new Map(); // by the id of the feed: the tile, or the large picture
let listing = { feeds: [] }, chosen = "", paused = false, known = null;

// View draws the pictures of one feed into the canvas of an element.
class View {
  constructor(root) {
    this.root = root;
    this.canvas = root.querySelector("canvas");
    this.waiting = null;
    this.busy = false;
  }
  show(picture) {
    this.waiting = picture;
    if (!this.busy) this.draw();
  }
  async draw() {
    this.busy = true;
    while (this.waiting) {
      const picture = this.waiting;
      this.waiting = null;
      try {
        const bitmap = await createImageBitmap(new Blob([picture], { type: "image/jpeg" }));
        if (this.canvas.width !== bitmap.width) this.canvas.width = bitmap.width;
        if (this.canvas.height !== bitmap.height) this.canvas.height = bitmap.height;
        this.canvas.getContext("2d").drawImage(bitmap, 0, 0);
        bitmap.close();
      } catch { /* a picture that cannot be decoded: the next one comes */ }
    }
    this.busy = false;
  }
}
const largeView = new View(large);

const nameOf = f => f.camera || (f.id === mainID ? "All cameras" : f.id);
const says = {
  live: () => "",
  starting: f => `Starting…${f.reason ? ` (${f.reason})` : ""}`,
  lost: f => `Camera lost${f.reason ? `: ${f.reason}` : ""}`,
};

// fill writes what is known of a feed into an element.
function fill(root, f, title, detail) {
  for (const s of Object.keys(says)) root.classList.toggle(s, f.state === s);
  root.querySelector(".name").textContent = title;
  root.querySelector(".detail").textContent = detail;
  const state = says[f.state](f);
  const shown = root.querySelector(".state");
  if (shown.textContent !== state) shown.textContent = state;
  root.querySelector("canvas").setAttribute("aria-label", `${title}: ${state || "live picture"}`);
}

// largeID is the feed that the large picture shows: the one that was chosen, or the
// one of all cameras, or the first.
function largeID() {
  const ids = listing.feeds.map(f => f.id);
  return ids.includes(chosen) ? chosen : ids.includes(mainID) ? mainID : ids[0];
}

function draw() {
  const problem = $("problem");
  problem.hidden = !listing.problem;
  if (problem.textContent !== (listing.problem || "")) problem.textContent = listing.problem || "";
  const cameras = listing.feeds.filter(f => f.id !== mainID);
  $("none").hidden = listing.feeds.length > 0;
  const live = cameras.filter(f => f.state === "live").length;
  const sum = $("sum"), said = `${cameras.length} camera${cameras.length === 1 ? "" : "s"}, ${live} live`;
  if (sum.textContent !== said) sum.textContent = said;
  sum.className = "";
  drawLarge(listing.feeds.find(f => f.id === largeID()));
  const keep = new Set(cameras.map(f => f.id));
  for (const [id, v] of views) if (!keep.has(id)) { v.root.remove(); views.delete(id); }
  cameras.forEach((f, at) => {
    const root = tile(f).root;
    if (tiles.children[at] !== root) tiles.insertBefore(root, tiles.children[at] || null);
  });
  tell(cameras);
}

function drawLarge(f) {
  large.hidden = !f;
  if (!f) return;
  const all = f.id === mainID;
  fill(large, f, all ? "All cameras" : nameOf(f), all ? (f.camera ? `now ${f.camera}` : "one after the other") : f.id);
}

function tile(f) {
  let v = views.get(f.id);
  if (!v) {
    const root = $("tile").content.firstElementChild.cloneNode(true);
    root.dataset.id = f.id;
    root.querySelector("button").addEventListener("click", () => {
      chosen = chosen === f.id ? "" : f.id;
      draw();
    });
    v = new View(root);
    views.set(f.id, v);
  }
  const pressed = String(f.id === chosen);
  const button = v.root.querySelector("button");
  if (button.getAttribute("aria-pressed") !== pressed) button.setAttribute("aria-pressed", pressed);
  fill(v.root, f, nameOf(f), f.camera && f.camera !== f.id ? f.id : "");
  return v;
}

// tell says to screen readers which cameras have come, gone, or were lost.
function tell(cameras) {
  const now = new Map(cameras.map(f => [f.id, { name: nameOf(f), state: f.state }]));
  const news = [];
  if (known) {
    for (const [id, f] of now) {
      const before = known.get(id);
      if (!before) news.push(`${f.name} has come.`);
      else if (before.state !== f.state && f.state !== "starting") news.push(`${f.name} is ${f.state}.`);
    }
    for (const [id, f] of known) if (!now.has(id)) news.push(`${f.name} has gone.`);
  }
  known = now;
  if (news.length) $("news").textContent = news.join(" ");
}

function picture(id, content) {
  if (paused) return;
  const jpeg = content.subarray(8);
  if (id === largeID()) largeView.show(jpeg);
  views.get(id)?.show(jpeg);
}

// Reader takes records out of what comes, in pieces of any size.
class Reader {
  constructor() { this.pieces = []; this.size = 0; }
  add(piece) { this.pieces.push(piece); this.size += piece.length; }
  // peek returns n bytes, if there are so many.
  peek(n) {
    if (this.size < n) return null;
    if (this.pieces[0].length < n) {
      const whole = new Uint8Array(this.size);
      let at = 0;
      for (const p of this.pieces) { whole.set(p, at); at += p.length; }
      this.pieces = [whole];
    }
    return this.pieces[0].subarray(0, n);
  }
  skip(n) {
    this.pieces[0] = this.pieces[0].subarray(n);
    this.size -= n;
    if (!this.pieces[0].length) this.pieces.shift();
  }
  // next returns a record, if a whole one is there.
  next() {
    const start = this.peek(2);
    if (!start) return null;
    const head = this.peek(6 + start[1]);
    if (!head) return null;
    const length = new DataView(head.buffer, head.byteOffset + 2 + head[1], 4).getUint32(0);
    if (length > 8 << 20) throw new Error("a record is too large");
    const record = this.peek(head.length + length);
    if (!record) return null;
    const idEnd = 2 + record[1];
    const result = { kind: String.fromCharCode(record[0]), id: text.decode(record.subarray(2, idEnd)), content: record.slice(idEnd + 4) };
    this.skip(record.length);
    return result;
  }
}

async function listen(signal) {
  const answer = await fetch("live", { signal, cache: "no-store" });
  if (!answer.ok) throw new Error(await answer.text());
  const body = answer.body.getReader(), reader = new Reader();
  for (;;) {
    const { done, value } = await body.read();
    if (done) throw new Error("the connection has ended");
    reader.add(value);
    for (let r = reader.next(); r; r = reader.next()) {
      if (r.kind === "L") { listing = JSON.parse(text.decode(r.content)); draw(); }
      else if (r.kind === "P") picture(r.id, r.content);
    }
  }
}

// Nothing is loaded while nobody can see the page.
let stop = null, timer = 0;
async function run() {
  clearTimeout(timer);
  if (document.hidden || stop) return;
  const control = stop = new AbortController();
  try {
    await listen(control.signal);
  } catch (e) {
    if (stop === control) stop = null;
    if (control.signal.aborted) return;
    const sum = $("sum");
    sum.className = "bad";
    sum.textContent = "Connection lost, trying again";
    for (const f of listing.feeds) Object.assign(f, { state: "lost", reason: "no connection to this application" });
    for (const f of listing.feeds) { if (views.has(f.id)) tile(f); if (f.id === largeID()) drawLarge(f); }
    timer = setTimeout(run, 1000);
  }
}
document.addEventListener("visibilitychange", () => {
  if (document.hidden) { stop?.abort(); stop = null; } else run();
});
$("pause").addEventListener("click", () => {
  paused = !paused;
  $("pause").setAttribute("aria-pressed", String(paused));
  $("pause").textContent = paused ? "Go on" : "Pause";
  document.body.classList.toggle("paused", paused);
});
run();
