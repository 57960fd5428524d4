// Makes and fills elements. Texts are always set as text: names and messages of
// strangers never become markup.

// h makes an element. Attributes that are null are left out; those that begin with
// "on" are listeners.
export function h(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter(c => c !== null && c !== undefined && c !== false));
  return element;
}

// write sets the text of an element, if it is another.
export function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

// mark sets an attribute, if it is another; null removes it.
export function mark(element, name, value) {
  if (value === null) element.removeAttribute(name);
  else if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}

const views = new WeakMap(); // by parent: a Map of key to { root, item }

// arrange makes the children of an element those of a list of items, in its order:
// make(item) makes one, and fill(root, item) fills it whenever its item is another
// object.
export function arrange(parent, items, keyOf, make, fill) {
  let known = views.get(parent);
  if (!known) views.set(parent, known = new Map());
  const now = new Map();
  let at = parent.firstChild;
  for (const item of items) {
    const key = keyOf(item);
    const view = known.get(key) || { root: make(item), item: null };
    if (view.item !== item) {
      fill(view.root, item);
      view.item = item;
    }
    now.set(key, view);
    if (view.root === at) at = at.nextSibling;
    else parent.insertBefore(view.root, at);
  }
  for (const [key, view] of known) if (!now.has(key)) view.root.remove();
  views.set(parent, now);
}

const svg = "http://www.w3.org/2000/svg";
const paths = {
  node: "M4 4h16v6H4zM4 14h16v6H4zM7 7h.01M7 17h.01M11 7h6M11 17h6",
  network: "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zM3 12h18M12 3c5 5.5 5 12.500 0 18M12 3c-5 5.500-5 12.500 0 18",
  nowhere: "M5 5l14 14M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18z",
  udev: "M12 21v-7M9 3v4M15 3v4M6 7h12v3a6 6 0 0 1-12 0z",
  onvif: "M3 7h12v10H3zM15 10l6-3v10l-6-3M7 10.500h3",
  opcua: "M5 4h14v16H5zM9 8h6M9 12h6M9 16h3M2 8h3M2 16h3M19 8h3M19 16h3",
  modbus: "M5 4h14v16H5zM9 8h6M9 12h6M9 16h3M2 8h3M2 16h3M19 8h3M19 16h3",
  mqtt: "M5 19h.01M5 13a6 6 0 0 1 6 6M5 7a12 12 0 0 1 12 12",
  mdns: "M12 12h.01M8.500 15.500a5 5 0 0 1 0-7M15.500 8.500a5 5 0 0 1 0 7M5.500 18.500a9.200 9.200 0 0 1 0-13M18.500 5.500a9.200 9.200 0 0 1 0 13",
  debugEcho: "M9 3h6M10 3v6l-5 10a1.400 1.400 0 0 0 1.200 2h11.600a1.400 1.400 0 0 0 1.200-2L14 9V3M8 15h8",
  other: "M7 7h10v10H7zM9 3v4M15 3v4M9 17v4M15 17v4M3 9h4M3 15h4M17 9h4M17 15h4",
};

// icon makes a drawing; a handler has one of its name.
export function icon(name) {
  const root = document.createElementNS(svg, "svg");
  root.setAttribute("viewBox", "0 0 24 24");
  root.setAttribute("aria-hidden", "true");
  root.setAttribute("class", "icon");
  const path = document.createElementNS(svg, "path");
  path.setAttribute("d", paths[name] || paths.other);
  root.append(path);
  return root;
}

// breakable lets long names such as paths be broken after their parts.
export const breakable = text => text.split(/(?<=[/:.?&=])/).flatMap((part, i) => i ? [document.createElement("wbr"), part] : [part]);

export const plural = (n, one, many) => `${n} ${n === 1 ? one : many}`;
