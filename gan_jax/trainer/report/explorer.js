// The latent explorer: the tiles of a plane of latents, for each class and truncation, are parts of one image.
const makeExplorer = (box) => {
  const { side, width, height, classes, truncations } = data.explorer;
  const sprite = box.querySelector("img");
  const stored = memory.get("explorer") || {};
  const within = (value, count, fallback) => (Number.isInteger(value) && value >= 0 && value < count ? value : fallback);
  const middle = Math.floor(side / 2);
  const state = {
    row: within(stored.row, side, middle), column: within(stored.column, side, middle),
    label: within(stored.label, classes.length, 0), truncation: within(stored.truncation, truncations.length, truncations.length - 1),
  };

  const plane = element("canvas", { class: "grid", width: side * width, height: side * height });
  const map = element("div", { class: "cells plane", tabindex: "0", role: "application", "aria-roledescription": "plane of latents",
    "aria-label": "Plane of latents. Arrow keys move through it, Home returns to the middle." });
  const marker = element("span", { class: "marker" });
  map.append(plane, marker);
  const sample = element("canvas", { class: "grid", role: "img", width, height });
  const where = element("output", { class: "where" });
  const controls = element("div", { class: "controls" });

  const draw = () => {
    const { row, column, label, truncation } = state;
    const [x, y] = [label * side * width, truncation * side * height];
    plane.getContext("2d").drawImage(sprite, x, y, side * width, side * height, 0, 0, side * width, side * height);
    sample.getContext("2d").drawImage(sprite, x + column * width, y + row * height, width, height, 0, 0, width, height);
    Object.assign(marker.style, { left: `${(100 * column) / side}%`, top: `${(100 * row) / side}%`, width: `${100 / side}%`, height: `${100 / side}%` });
    const chosen = [classes.length > 1 ? `class ${classes[label]}` : "", truncations.length > 1 ? `truncation ${truncations[truncation]}` : ""];
    where.textContent = [`Row ${row + 1}, column ${column + 1} of ${side} x ${side}`, ...chosen.filter(Boolean)].join(", ");
    sample.setAttribute("aria-label", `Sample: ${where.textContent}`);
    memory.set("explorer", state);
  };
  const move = (row, column) => {
    state.row = Math.min(Math.max(row, 0), side - 1);
    state.column = Math.min(Math.max(column, 0), side - 1);
    draw();
  };

  if (classes.length > 1) {
    const select = element("select");
    classes.forEach((name, index) => select.append(element("option", { value: index }, name)));
    select.value = state.label;
    select.addEventListener("change", () => { state.label = Number(select.value); draw(); });
    const named = element("label", {}, "Class ");
    named.append(select);
    controls.append(named);
  }
  if (truncations.length > 1) {
    const input = element("input", { type: "range", min: 0, max: truncations.length - 1, step: 1 });
    const value = element("output");
    const show = () => { value.textContent = truncations[state.truncation]; input.setAttribute("aria-valuetext", truncations[state.truncation]); };
    input.value = state.truncation;
    input.addEventListener("input", () => { state.truncation = Number(input.value); show(); draw(); });
    const named = element("label", {}, "Truncation ");
    named.append(input);
    controls.append(named, value);
    show();
  }

  const follow = (event) => {
    const area = plane.getBoundingClientRect();
    move(Math.floor(((event.clientY - area.top) / area.height) * side), Math.floor(((event.clientX - area.left) / area.width) * side));
  };
  map.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    try { map.setPointerCapture(event.pointerId); } catch { /* The pointer no longer exists. */ }
    follow(event);
  });
  map.addEventListener("pointermove", (event) => { if (event.buttons & 1) follow(event); });
  map.addEventListener("keydown", (event) => {
    const [down, right] = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key] || [0, 0];
    if (event.key === "Home") move(middle, middle);
    else if (down || right) move(state.row + down, state.column + right);
    else return;
    event.preventDefault();
    announcer.textContent = where.textContent;
  });

  const panes = element("div", { class: "panes" });
  for (const parts of [[map], [sample], [where, controls, box.querySelector("figcaption")]]) {
    const pane = element("div");
    pane.append(...parts);
    panes.append(pane);
  }
  box.prepend(panes);
  sprite.hidden = true;
  sprite.decode().then(draw);
};
for (const box of document.querySelectorAll("[data-explorer]")) makeExplorer(box);
