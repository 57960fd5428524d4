// Shows the details of one thing: what is wrong with it and why, what was seen, what
// to do, its properties and its Events.
import { h, plural } from "./dom.js";
import { route } from "./board.js";

const nameOf = s => [s.kind, s.namespace ? `${s.namespace}/${s.name}` : s.name].filter(Boolean).join(" ");

// subject is a link to the details of something, or its name.
function subject(s) {
  const to = route(s);
  return to ? h("a", { href: to }, nameOf(s)) : h("strong", null, nameOf(s));
}

export function title(s, answer) {
  if (!s.kind) return "The cluster";
  const about = answer?.subject || s;
  return nameOf(about);
}

const maxAlike = 3; // findings of one cause

export function drawWhy(root, answer) {
  const findings = answer.findings || [];
  const level = findings.some(f => f.level === "problem") ? "problem" : findings.some(f => f.level === "warning") ? "warning" : "well";
  const parts = [h("p", { class: "verdict", "data-level": level }, answer.answer)];
  const said = f => answer.answer.includes(f.summary);
  const seen = new Map(), follows = f => f.because && findings.some(o => same(o, f.because));
  for (const f of findings) {
    if (follows(f)) continue;
    seen.set(f.cause, (seen.get(f.cause) || 0) + 1);
    if (seen.get(f.cause) <= maxAlike) parts.push(finding(f, findings, said(f)));
  }
  const alike = [...seen].filter(([, n]) => n > maxAlike).map(([cause, n]) => `${n - maxAlike} more of the cause ${cause}`);
  if (answer.more) alike.push(`${answer.more} that were left out`);
  if (alike.length) parts.push(h("p", { class: "soft" }, `And ${alike.join(", ")}; akri explain -o json has them.`));
  if (answer.facts?.length) parts.push(list("How it is", answer.facts.map(f => [f.from, f.says])));
  if (answer.properties?.length) {
    parts.push(list("What brokers get", answer.properties.map(p => [p.name, p.hidden ? "(not shown)" : p.value])));
  }
  if (answer.id) parts.push(list("What it is", [["id", answer.id], ["found", when(answer.created)]]));
  if (answer.events?.length) {
    parts.push(list("What happened", answer.events.map(e => [when(e.at), `${e.reason}: ${e.note}`])));
  }
  if (answer.unseen?.length) {
    parts.push(list("What could not be read", answer.unseen.map(u => [u.what, u.why])));
  }
  root.replaceChildren(...parts);
}

const same = (f, ref) => f.cause === ref.cause && nameOf(f.subject) === nameOf(ref.subject);

function finding(f, all, said) {
  const out = h("section", { class: "finding", "data-level": f.level },
    h("h3", null, h("span", { class: "level" }, f.level), " ", subject(f.subject), said ? "" : `: ${f.summary}`, h("code", { class: "cause soft" }, f.cause)));
  if (f.evidence?.length) {
    out.append(h("h4", null, "Seen"), h("ul", null, ...f.evidence.map(e => h("li", null, h("span", { class: "soft" }, `${e.from}: `), e.says))));
  }
  const r = f.remedy || {};
  if (r.text || r.commands?.length || r.see) {
    out.append(h("h4", null, "What to do"));
    if (r.text) out.append(h("p", null, r.text));
    for (const c of r.commands || []) out.append(command(c));
    if (r.see) out.append(h("p", { class: "soft" }, "Read ", h("code", null, r.see)));
  }
  const so = followers(f, all);
  if (so.length) {
    out.append(h("h4", null, "So"), h("ul", null, ...so.slice(0, 8).map(o => h("li", null, subject(o.subject), ": ", o.summary)),
      so.length > 8 && h("li", null, `and ${plural(so.length - 8, "other", "others")}`)));
  }
  return out;
}

// followers are the findings that follow from one, and those that follow from them.
function followers(f, all) {
  const out = [], from = [f], known = new Set([f]);
  while (from.length) {
    const cause = from.shift();
    for (const o of all) {
      if (known.has(o) || !o.because || !same(cause, o.because)) continue;
      known.add(o);
      from.push(o);
      out.push(o);
    }
  }
  return out;
}

// command is a line for a shell. Browsers let pages write to the clipboard only where
// the connection is safe.
function command(text) {
  const button = navigator.clipboard && h("button", { type: "button", class: "copy", onclick: async event => {
    await navigator.clipboard.writeText(text);
    event.target.textContent = "Copied";
  } }, "Copy");
  return h("div", { class: "command" }, h("code", { tabindex: "0" }, text), button);
}

const list = (name, rows) => h("section", null, h("h3", null, name),
  h("dl", null, ...rows.map(([k, v]) => h("div", null, h("dt", null, k), h("dd", null, v)))));

export const when = at => new Date(at).toLocaleString([], { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit" });
