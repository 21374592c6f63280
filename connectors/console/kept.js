// What this browser remembers. Browsers that keep nothing throw: then it lasts as long as the page.
export function kept(name) {
  try {
    return localStorage.getItem(name) ?? "";
  } catch {
    return "";
  }
}

export function keep(name, value) {
  try {
    localStorage.setItem(name, value);
  } catch { /* see above */ }
}
