// The samples: the slider over the steps, the change since the step before, one image enlarged, and images in a dialog.

const decoded = new Map();
const decode = (uri) => {
  if (!decoded.has(uri)) {
    const image = new Image();
    image.src = uri;
    decoded.set(uri, image.decode().then(() => image));
  }
  return decoded.get(uri);
};
const pixelsOf = (image) => {
  const canvas = element("canvas", { width: image.naturalWidth, height: image.naturalHeight });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(image, 0, 0);
  return context.getImageData(0, 0, canvas.width, canvas.height);
};

// Moves the slider `key`. It tells the images about it with an event "frame".
const makeSlider = (box) => {
  const key = box.dataset.slider;
  const names = key === "*" ? Object.keys(data.frames) : [key];
  const steps = [...new Set(names.flatMap((name) => data.frames[name].map(([step]) => step)))].sort((a, b) => a - b);
  const input = box.querySelector("input"), output = box.querySelector("output"), play = box.querySelector(".play");
  let timer = null;
  const show = (index) => {
    const step = steps[index];
    for (const name of names) {
      const image = document.querySelector(`[data-frames="${name}"]`);
      if (!image) continue;
      const frames = data.frames[name];
      const at = Math.max(0, lower(frames.map(([frameStep]) => frameStep), step + 1) - 1);
      const [frameStep, source] = frames[at];
      image.src = source;
      image.alt = image.alt.replace(/at step [\d,]+/, () => `at step ${readable(frameStep)}`);
      const caption = document.querySelector(`[data-step-of="${name}"]`);
      if (caption) caption.textContent = `step ${readable(frameStep)}`;
      image.dispatchEvent(new CustomEvent("frame", { detail: at }));
    }
    input.value = index;
    input.setAttribute("aria-valuetext", `step ${step}`);
    output.textContent = readable(step);
    memory.set("sample", index === steps.length - 1 ? null : step);
  };
  const stop = () => { clearInterval(timer); timer = null; play.textContent = "Play"; play.setAttribute("aria-pressed", "false"); };
  input.addEventListener("input", () => { stop(); show(Number(input.value)); });
  play.addEventListener("click", () => {
    if (timer) { stop(); return; }
    let index = Number(input.value) >= steps.length - 1 ? 0 : Number(input.value);
    show(index);
    play.textContent = "Stop";
    play.setAttribute("aria-pressed", "true");
    timer = setInterval(() => { index += 1; show(index); if (index >= steps.length - 1) stop(); }, still.matches ? 1000 : 250);
  });
  const stored = memory.get("sample");
  if (typeof stored === "number") show(nearest(steps, stored));
};

const addView = (views, name) => {
  const figure = element("figure", { "data-view": name });
  const canvas = element("canvas", { class: "grid", role: "img", width: 1, height: 1 });
  const caption = element("figcaption");
  figure.append(canvas, caption);
  views.append(figure);
  return { figure, canvas, caption };
};

// Draws what changed between two grids: grey is unchanged, and lighter or darker pixels became lighter or darker.
const makeChange = (views, image, frames) => {
  const { canvas, caption } = addView(views, "change");
  const area = data.grid ? data.grid.columns * data.grid.rows * data.grid.width * data.grid.height : 1;
  let asked = 0;
  const show = async (index) => {
    const mine = (asked += 1);
    const [before, after] = (await Promise.all(frames.slice(Math.max(index - 1, 0), index + 1).map(([, uri]) => decode(uri)))).map(pixelsOf);
    if (mine !== asked) return;
    const alike = after && before.width === after.width && before.height === after.height;
    const [width, height] = [before.width, before.height];
    const result = new ImageData(width, height);
    let total = 0;
    for (let at = 0; at < result.data.length; at += 4) {
      for (let channel = at; channel < at + 3; channel += 1) {
        const change = alike ? after.data[channel] - before.data[channel] : 0;
        total += Math.abs(change);
        result.data[channel] = 128 + change / 2;
      }
      result.data[at + 3] = 255;
    }
    canvas.width = width;
    canvas.height = height;
    canvas.getContext("2d").putImageData(result, 0, 0);
    const share = (100 * total) / (255 * 3 * width * height * area);
    const since = index ? `Change since step ${readable(frames[index - 1][0])}` : "Change since the step before";
    const why = index ? "the grid has another size there" : "this is the first grid";
    canvas.setAttribute("aria-label", alike ? `${since}: ${share.toFixed(1)}% of the range of a pixel on average` : `${since}: none, because ${why}`);
    caption.textContent = alike
      ? `${since}: ${share.toFixed(1)}% of the range of a pixel on average. Grey is unchanged; lighter and darker pixels became lighter and darker.`
      : `${since}: none, because ${why}.`;
  };
  image.addEventListener("frame", (event) => show(event.detail));
  show(frames.length - 1);
};

// Enlarges one image of the grid, and shows the same latent at earlier steps. A click or the arrow keys choose the image.
const makeSingle = (views, image, frames) => {
  const { columns, rows, left, top, right, down, width, height } = data.grid;
  const { figure, canvas, caption } = addView(views, "single");
  const strip = element("canvas", { class: "grid", role: "img", width: 1, height: 1 });
  figure.insertBefore(strip, caption);
  const cells = element("div", { class: "cells", tabindex: "0", role: "application", "aria-roledescription": "grid of images",
    "aria-label": `${columns * rows} samples. Arrow keys choose the one that is enlarged.` });
  const marker = element("span", { class: "marker" });
  image.replaceWith(cells);
  cells.append(image, marker);
  let chosen = 0, frame = frames.length - 1, asked = 0;
  const part = (picture, index) => {
    const [x, y] = [left + (index % columns) * right, top + Math.floor(index / columns) * down];
    return [x * picture.naturalWidth, y * picture.naturalHeight, width * picture.naturalWidth, height * picture.naturalHeight].map(Math.round);
  };
  const show = async () => {
    const mine = (asked += 1);
    const [column, row] = [chosen % columns, Math.floor(chosen / columns)];
    Object.assign(marker.style, { left: `${100 * (left + column * right)}%`, top: `${100 * (top + row * down)}%`, width: `${100 * width}%`, height: `${100 * height}%` });
    const count = Math.min(frame + 1, 12);
    const steps = Array.from({ length: count }, (_, at) => (count > 1 ? Math.round((at * frame) / (count - 1)) : frame));
    const pictures = await Promise.all(steps.map((at) => decode(frames[at][1])));
    if (mine !== asked) return;
    const now = pictures.at(-1), [x, y, w, h] = part(now, chosen);
    const across = Math.min(count, 6);
    Object.assign(canvas, { width: w, height: h });
    canvas.getContext("2d").drawImage(now, x, y, w, h, 0, 0, w, h);
    Object.assign(strip, { width: across * (w + 2) - 2, height: Math.ceil(count / across) * (h + 2) - 2 });
    pictures.forEach((picture, at) => {
      const place = [(at % across) * (w + 2), Math.floor(at / across) * (h + 2), w, h];
      strip.getContext("2d").drawImage(picture, ...part(picture, chosen), ...place);
    });
    const where = `Sample ${chosen + 1} of ${columns * rows} (row ${row + 1}, column ${column + 1}) at step ${readable(frames[frame][0])}`;
    canvas.setAttribute("aria-label", `${where}, enlarged`);
    strip.hidden = count < 2;
    strip.setAttribute("aria-label", `The same latent at ${count} steps from ${readable(frames[steps[0]][0])} to ${readable(frames[frame][0])}`);
    caption.textContent = `${where}.${count < 2 ? "" : ` Below: the same latent at ${count} steps from ${readable(frames[steps[0]][0])} on.`} `
      + "Click a sample to enlarge it, or use the arrow keys on the grid.";
  };
  const choose = (index) => {
    chosen = index;
    show();
    announcer.textContent = `Sample ${chosen + 1}`;
  };
  cells.addEventListener("click", (event) => {
    const box = image.getBoundingClientRect();
    const column = Math.floor(((event.clientX - box.left) / box.width - left) / right);
    const row = Math.floor(((event.clientY - box.top) / box.height - top) / down);
    choose(Math.min(Math.max(row, 0), rows - 1) * columns + Math.min(Math.max(column, 0), columns - 1));
  });
  cells.addEventListener("keydown", (event) => {
    const move = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }[event.key];
    if (!move) return;
    event.preventDefault();
    const sideways = Math.abs(move) === 1 && columns > 1;
    const next = chosen + move;
    if (next >= 0 && next < columns * rows && (!sideways || Math.floor(next / columns) === Math.floor(chosen / columns))) choose(next);
  });
  image.addEventListener("frame", (event) => { frame = event.detail; show(); });
  show();
};

const views = document.querySelector(".views");
if (views) {
  const image = views.querySelector("[data-frames]"), frames = data.frames[image.dataset.frames];
  if (frames.length > 1) makeChange(views, image, frames);
  if (data.grid) makeSingle(views, image, frames);
}
for (const box of document.querySelectorAll(".slider")) makeSlider(box);

// Images of galleries open enlarged in a dialog. Escape closes it, and the focus returns.
const dialog = element("dialog", { "aria-label": "Enlarged image" });
const close = element("button", { type: "button" }, "Close");
const frame = element("div", { class: "frame", tabindex: "0", role: "region", "aria-label": "Enlarged image, scrollable" });
dialog.append(close, frame);
close.addEventListener("click", () => dialog.close());
dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
dialog.addEventListener("close", () => frame.replaceChildren());
const enlarge = (image) => {
  const large = element("img", { src: image.src, alt: image.alt, class: "grid" });
  const fits = Math.floor(Math.min((innerWidth - 80) / image.naturalWidth, (innerHeight - 140) / image.naturalHeight));
  // At least one size larger than in the page. What does not fit scrolls.
  const larger = Math.floor(image.clientWidth / image.naturalWidth) + 1;
  large.style.width = `${image.naturalWidth * Math.max(fits, larger)}px`;
  frame.replaceChildren(large);
  dialog.showModal();
};
const pictures = [...document.querySelectorAll(".gallery img")];
if (pictures.length) document.body.append(dialog);
for (const image of pictures) {
  const button = element("button", { type: "button", class: "zoom", "aria-label": `Enlarge: ${image.alt}` });
  image.replaceWith(button);
  button.append(image);
  button.addEventListener("click", () => enlarge(image));
  image.addEventListener("frame", () => button.setAttribute("aria-label", `Enlarge: ${image.alt}`));
}

// A button that copies a command.
for (const command of document.querySelectorAll("pre.command")) {
  const button = element("button", { type: "button", class: "copy" }, "Copy");
  const box = element("div", { class: "copyable" });
  command.replaceWith(box);
  box.append(command, button);
  button.addEventListener("click", async () => {
    const text = command.textContent;
    let copied = false;
    try {
      await navigator.clipboard.writeText(text);
      copied = true;
    } catch {
      // Browsers can deny the clipboard to pages from the disk. The selection is an older way.
      getSelection().selectAllChildren(command);
      copied = document.execCommand("copy");
    }
    button.textContent = copied ? "Copied" : "Selected";
    announcer.textContent = copied ? "The command was copied." : "The command is selected. Copy it with your keyboard.";
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  });
}
