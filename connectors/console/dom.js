// Building elements. Text only ever enters the page as text nodes, so nothing a caller sends can become markup.

const SVG = "http://www.w3.org/2000/svg";

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "on") for (const [type, listener] of Object.entries(value)) element.addEventListener(type, listener);
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** An HTML element: h("p", {class: "note"}, "text", otherElement). */
export const h = (name, attributes = {}, ...children) => fill(document.createElement(name), attributes, children);

/** The same for SVG. */
export const svg = (name, attributes = {}, ...children) => fill(document.createElementNS(SVG, name), attributes, children);

/** Set text only when it differs: an untouched node costs no layout and no screen reader noise. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Set or, for null, remove an attribute, only when it differs. */
export function setAttribute(element, name, value) {
  if (value === null) element.removeAttribute(name);
  else if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}

export const byId = (id) => document.getElementById(id);
