// Make elements. Texts become text nodes and never markup, whoever wrote them.

const SVG = "http://www.w3.org/2000/svg";

export const find = (id) => document.getElementById(id);

// Make an element: attributes by name, `on…` for listeners; children are nodes or texts.
export function make(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

export function makeSvg(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

// Replace what an element holds. Whoever was at a `data-key` in it stays there.
export function fill(element, ...children) {
  const active = document.activeElement;
  const key = element.contains(active) ? active.dataset.key : undefined;
  element.replaceChildren(...children.flat().filter(Boolean));
  if (key !== undefined) focusOn(key);
}

// Move the focus to what has this key, if it is still there.
export function focusOn(key) {
  const target = [...document.querySelectorAll("[data-key]")].find((each) => each.dataset.key === key);
  target?.focus();
  return Boolean(target);
}

export const announce = (text) => {
  find("announced").textContent = text;
};
