"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const LEVELS = 1022, MISSING = 1023;
  const FIELD = 15; // Arrows per side.
  const slider = document.getElementById("frame");
  const stage = document.getElementById("stage");
  const playButton = document.getElementById("play");
  const shown = (name) => document.getElementById(`show-${name}`).checked;
  const slow = matchMedia("(prefers-reduced-motion: reduce)");
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const frames = data.steps.length;
  const size = data.side * data.side;

  // ---- decoding, the inverse of encoding.py

  const inflate = async (text) => {
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  };
  const points = async (text) => {
    const bytes = await inflate(text), half = bytes.length / 2;
    return Uint16Array.from({ length: half }, (_, index) => bytes[index] | (bytes[half + index] << 8));
  };
  const surfaces = async (text) => {
    const codes = await inflate(text);
    for (let index = size; index < codes.length; index += 1) codes[index] = (codes[index] + codes[index - size]) & 255;
    return codes;
  };

  // ---- colours of the theme

  let colours = {};
  const readColours = () => {
    const style = getComputedStyle(document.documentElement);
    for (const name of ["low", "middle", "high", "fake", "real", "arrow", "text", "paper", "line", "generator"]) colours[name] = style.getPropertyValue(`--${name}`).trim();
    const rgb = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
    const [low, middle, high] = [colours.low, colours.middle, colours.high].map(rgb);
    colours.ramp = Array.from({ length: 256 }, (_, level) => {
      const [from, to, share] = level < 128 ? [low, middle, level / 127.5] : [middle, high, (level - 127.5) / 127.5];
      return from.map((value, channel) => Math.round(value + (to[channel] - value) * share));
    });
  };

  const prepare = (canvas) => {
    const side = Math.max(1, Math.round(canvas.clientWidth * devicePixelRatio));
    if (canvas.width !== side) { canvas.width = side; canvas.height = side; }
    const context = canvas.getContext("2d");
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, side, side);
    return [context, side, side / Math.max(1, canvas.clientWidth)];
  };

  // x to the right, y upwards; both from -1 to 1.
  const arrow = (context, x, y, dx, dy, head) => {
    const length = Math.hypot(dx, dy);
    if (!(length > 0.5)) return;
    const tip = Math.min(head, length / 2), [ux, uy] = [dx / length, dy / length];
    context.moveTo(x, y);
    context.lineTo(x + dx, y + dy);
    context.moveTo(x + dx - tip * (ux + uy * 0.6), y + dy - tip * (uy - ux * 0.6));
    context.lineTo(x + dx, y + dy);
    context.lineTo(x + dx - tip * (ux - uy * 0.6), y + dy - tip * (uy + ux * 0.6));
  };

  const drawDots = (context, side, scale, codes, first, count, colour, filled) => {
    context.beginPath();
    for (let index = first; index < first + count; index += 1) {
      const x = codes[2 * index], y = codes[2 * index + 1];
      if (x === MISSING || y === MISSING) continue;
      const cx = (x / LEVELS) * side, cy = side - (y / LEVELS) * side, radius = 2 * scale;
      context.moveTo(cx + radius, cy);
      context.arc(cx, cy, radius, 0, 2 * Math.PI);
    }
    context[filled ? "fillStyle" : "strokeStyle"] = colour;
    context.lineWidth = scale;
    if (filled) context.fill(); else context.stroke();
  };

  const patch = document.createElement("canvas");
  patch.width = patch.height = data.side;

  const drawSurface = (context, side, game, frame) => {
    const inner = patch.getContext("2d"), image = inner.createImageData(data.side, data.side);
    for (let row = 0; row < data.side; row += 1) {
      for (let column = 0; column < data.side; column += 1) {
        const level = game.surface[frame * size + (data.side - 1 - row) * data.side + column], at = 4 * (row * data.side + column);
        [image.data[at], image.data[at + 1], image.data[at + 2]] = colours.ramp[level];
        image.data[at + 3] = 255;
      }
    }
    inner.putImageData(image, 0, 0);
    context.imageSmoothingEnabled = true;
    context.imageSmoothingQuality = "high";
    context.drawImage(patch, 0, 0, side, side);
  };

  const drawField = (context, side, scale, game, frame) => {
    const level = (row, column) => game.surface[frame * size + Math.min(Math.max(row, 0), data.side - 1) * data.side + Math.min(Math.max(column, 0), data.side - 1)];
    const slopes = [];
    for (let j = 0; j < FIELD; j += 1) {
      for (let i = 0; i < FIELD; i += 1) {
        const column = Math.round(((i + 0.5) / FIELD) * data.side - 0.5), row = Math.round(((j + 0.5) / FIELD) * data.side - 0.5);
        slopes.push([(column + 0.5) / data.side, (row + 0.5) / data.side, level(row, column + 1) - level(row, column - 1), level(row + 1, column) - level(row - 1, column)]);
      }
    }
    const steepest = Math.max(...slopes.map(([, , dx, dy]) => Math.hypot(dx, dy)));
    if (!steepest) return;
    context.beginPath();
    for (const [x, y, dx, dy] of slopes) {
      const slope = Math.hypot(dx, dy), length = slope ? (Math.sqrt(slope / steepest) * 0.9 * side) / FIELD : 0;
      if (length) arrow(context, x * side, side - y * side, (dx / slope) * length, (-dy / slope) * length, 4 * scale);
    }
    context.strokeStyle = colours.arrow;
    context.lineWidth = scale;
    context.stroke();
  };

  const number = (value) => (value === null || value === undefined ? "not finite" : Math.abs(value) >= 1e4 || (value && Math.abs(value) < 1e-3) ? value.toExponential(1) : String(Number(value.toPrecision(3))));

  // ---- loss curves

  const SVG = "http://www.w3.org/2000/svg";
  const LEFT = 40, RIGHT = 316, TOP = 8, BOTTOM = 94;
  const across = (step) => LEFT + (RIGHT - LEFT) * (step / Math.max(1, data.last));
  const shape = (parent, name, attributes, text) => {
    const made = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (text !== undefined) made.textContent = text;
    parent.append(made);
    return made;
  };
  const drawLosses = (svg, game) => {
    const values = Object.values(game.losses).flat().filter((value) => value !== null).sort((a, b) => a - b);
    const at = (share) => values[Math.round(share * (values.length - 1))] ?? 0;
    // The first losses can be large, so the axis leaves out the outermost percent.
    let low = at(0.01), high = at(0.99);
    if (low === high) { low -= 0.5; high += 0.5; }
    const up = (value) => BOTTOM - (BOTTOM - TOP) * Math.min(Math.max((value - low) / (high - low), 0), 1);
    shape(svg, "line", { x1: LEFT, x2: RIGHT, y1: BOTTOM, y2: BOTTOM });
    for (const value of [low, high]) shape(svg, "text", { x: LEFT - 4, y: up(value) + 3, "text-anchor": "end" }, number(value));
    shape(svg, "text", { x: LEFT, y: 107 }, "0");
    shape(svg, "text", { x: RIGHT, y: 107, "text-anchor": "end" }, data.last.toLocaleString("en-US"));
    for (const [name, kind] of [["discriminator_loss", "discriminator"], ["generator_loss", "generator"]]) {
      let open = false;
      const path = game.losses[name].map((value, index) => {
        if (value === null) { open = false; return ""; }
        const mark = `${open ? "L" : "M"}${across(game.lossSteps[index]).toFixed(1)} ${up(value).toFixed(1)}`;
        open = true;
        return mark;
      });
      shape(svg, "path", { class: kind, d: path.join("") || "M0 0" });
    }
    return shape(svg, "line", { class: "cursor", y1: TOP, y2: BOTTOM });
  };

  // ---- Dirac-GAN

  const drawPortrait = (canvas, dirac) => {
    const [context, side, scale] = prepare(canvas), reach = data.reach;
    const x = (value) => ((value + reach) / (2 * reach)) * side, y = (value) => side - x(value);
    const cells = dirac.arrows.length;
    const longest = Math.max(...dirac.arrows.flat().map(([a, b]) => Math.hypot(a ?? 0, b ?? 0)));
    context.beginPath();
    dirac.arrows.forEach((row, j) => row.forEach(([a, b], i) => {
      const at = [x(-reach + (2 * reach * i) / (cells - 1)), y(-reach + (2 * reach * j) / (cells - 1))];
      const stretch = (0.8 * side) / cells / (longest || 1);
      if (a !== null && b !== null) arrow(context, ...at, a * stretch, -b * stretch, 3 * scale);
    }));
    context.strokeStyle = colours.line;
    context.lineWidth = scale;
    context.stroke();
    const path = dirac.path.filter(([a, b]) => a !== null && b !== null);
    context.beginPath();
    path.forEach(([a, b], index) => context[index ? "lineTo" : "moveTo"](x(a), y(b)));
    context.strokeStyle = colours.generator;
    context.lineWidth = 1.5 * scale;
    context.stroke();
    context.fillStyle = colours.generator;
    context.beginPath();
    context.arc(x(path[0][0]), y(path[0][1]), 4 * scale, 0, 2 * Math.PI);
    context.fill();
    const end = path[path.length - 1];
    context.fillRect(x(end[0]) - 3.5 * scale, y(end[1]) - 3.5 * scale, 7 * scale, 7 * scale);
    context.beginPath();
    context.moveTo(x(0) - 5 * scale, y(0)); context.lineTo(x(0) + 5 * scale, y(0));
    context.moveTo(x(0), y(0) - 5 * scale); context.lineTo(x(0), y(0) + 5 * scale);
    context.strokeStyle = colours.text;
    context.stroke();
    context.fillStyle = colours.text;
    context.font = `${11 * scale}px system-ui, sans-serif`;
    context.fillText("θ", side - 12 * scale, side - 6 * scale);
    context.fillText("ψ", 5 * scale, 13 * scale);
  };

  // ---- the page

  const games = [];
  let reals = new Uint16Array(), timer = null;

  const draw = () => {
    const frame = Number(slider.value), step = data.steps[frame].toLocaleString("en-US");
    document.getElementById("step").textContent = step;
    slider.setAttribute("aria-valuetext", `step ${step}`);
    for (const game of games) {
      const [context, side, scale] = prepare(game.canvas);
      if (shown("surface")) drawSurface(context, side, game, frame);
      if (shown("field")) drawField(context, side, scale, game, frame);
      if (shown("reals")) drawDots(context, side, scale, reals, 0, data.realCount, colours.real, false);
      if (shown("fakes")) drawDots(context, side, scale, game.fakes, frame * data.points, data.points, colours.fake, true);
      const [modes, quality, range] = [game.modes[frame], `${Math.round(100 * game.quality[frame])}%`, game.ranges[frame]];
      game.card.querySelector(".modes").textContent = `${modes} of ${data.modes}`;
      game.card.querySelector(".quality").textContent = quality;
      game.card.querySelector(".range").textContent = range ? `${number(range[0])} … ${number(range[1])}` : "not finite";
      game.canvas.setAttribute("aria-label", `${game.name} at step ${step}: ${modes} of ${data.modes} modes found, ${quality} of the fakes near a mode`);
      const at = Math.max(0, game.lossSteps.findLastIndex((value) => value <= Math.max(data.steps[frame], game.lossSteps[0])));
      for (const kind of ["generator", "discriminator"]) game.card.querySelector(`b.${kind}`).textContent = number(game.losses[`${kind}_loss`][at]);
      for (const end of ["x1", "x2"]) game.cursor.setAttribute(end, across(data.steps[frame]));
    }
  };
  const drawAll = () => {
    readColours();
    for (const figure of document.querySelectorAll("[data-dirac]")) drawPortrait(figure.querySelector("canvas"), data.games[Number(figure.dataset.dirac)].dirac);
    draw();
  };

  const show = (frame) => {
    slider.value = Math.min(Math.max(frame, 0), frames - 1);
    draw();
  };
  const stop = () => {
    clearInterval(timer);
    timer = null;
    playButton.textContent = "Play";
    playButton.setAttribute("aria-pressed", "false");
  };
  // Nothing moves before this is asked for. With reduced motion the frames change twice a second.
  const play = () => {
    if (timer !== null) { stop(); return; }
    if (Number(slider.value) === frames - 1) show(0);
    playButton.textContent = "Pause";
    playButton.setAttribute("aria-pressed", "true");
    timer = setInterval(() => {
      show(Number(slider.value) + 1);
      if (Number(slider.value) === frames - 1) stop();
    }, slow.matches ? 500 : 90);
  };

  const start = async () => {
    reals = await points(data.reals);
    for (const figure of document.querySelectorAll("[data-game]")) {
      const game = data.games[Number(figure.dataset.game)];
      games.push({ ...game, card: figure, canvas: figure.querySelector("canvas"), cursor: drawLosses(figure.querySelector("svg"), game),
        fakes: await points(game.fakes), surface: await surfaces(game.surface) });
    }
    slider.addEventListener("input", () => { stop(); draw(); });
    playButton.addEventListener("click", play);
    for (const name of ["surface", "field", "reals", "fakes"]) document.getElementById(`show-${name}`).addEventListener("change", draw);
    stage.addEventListener("keydown", (event) => {
      if (event.altKey || event.ctrlKey || event.metaKey) return;
      const frame = Number(slider.value);
      const act = { ArrowLeft: () => show(frame - 1), ArrowRight: () => show(frame + 1), Home: () => show(0), End: () => show(frames - 1), " ": play }[event.key];
      if (!act) return;
      event.preventDefault();
      if (event.key !== " ") stop();
      act();
    });
    dark.addEventListener("change", drawAll);
    new ResizeObserver(drawAll).observe(document.querySelector(".cards"));
    addEventListener("beforeprint", drawAll);
    drawAll();
  };
  // The decoded frames, for tests and for whoever wants the numbers.
  window.theatre = { data, games, ready: start() };
  window.theatre.ready.catch((error) => {
    const problem = document.getElementById("problem");
    problem.textContent = `The frames cannot be decoded: ${error.message}. The page needs a browser with DecompressionStream (2023 or later).`;
    problem.hidden = false;
  });
})();
