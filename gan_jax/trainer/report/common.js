// Data of the page, state that a reload keeps, and helpers of the other scripts. All scripts of a page share one function.
const data = JSON.parse(document.getElementById("data").textContent);

// State that a reload of a live page keeps.
const memory = (() => {
  const key = "report " + location.pathname;
  let stored = {};
  try { stored = JSON.parse(sessionStorage.getItem(key)) || {}; } catch { stored = {}; }
  const set = (name, value) => {
    stored[name] = value;
    try { sessionStorage.setItem(key, JSON.stringify(stored)); } catch { /* Browsers can deny storage to pages from the disk. */ }
  };
  return { get: (name) => stored[name], set };
})();

const element = (name, attributes = {}, text) => {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
};

// Index of the first x that is not below a value. xs are in ascending order.
const lower = (xs, value) => {
  let low = 0, high = xs.length;
  while (low < high) { const middle = (low + high) >> 1; if (xs[middle] < value) low = middle + 1; else high = middle; }
  return low;
};
const nearest = (xs, value) => {
  const right = Math.min(lower(xs, value), xs.length - 1);
  return right > 0 && value - xs[right - 1] <= xs[right] - value ? right - 1 : right;
};

const readable = (value) => value.toLocaleString("en-US");
const still = matchMedia("(prefers-reduced-motion: reduce)");

// A hidden text that screen readers read out when it changes.
const announcer = element("p", { class: "hidden", role: "status" });
document.querySelector("main").append(announcer);

const seconds = Number(document.documentElement.dataset.refresh);
if (seconds) {
  const pause = document.getElementById("pause");
  pause.checked = Boolean(memory.get("paused"));
  pause.addEventListener("change", () => memory.set("paused", pause.checked));
  setInterval(() => { if (!pause.checked) location.reload(); }, 1000 * seconds);
}
