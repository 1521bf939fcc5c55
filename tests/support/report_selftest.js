// Injected into a copy of a report by the browser test: works the page through real events and writes down what failed.
window.addEventListener("load", async () => {
  const failures = [];
  const check = (what, good) => { if (!good) failures.push(what); };
  const wait = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));
  const data = JSON.parse(document.getElementById("data").textContent);
  try {
    const figures = [...document.querySelectorAll("figure.chart")];
    check("every chart is drawn", figures.length === data.charts.length && figures.every((figure) => figure.querySelector("path.curve")));

    const box = document.querySelector(".slider");
    const input = box.querySelector("input"), image = document.querySelector("[data-frames]"), output = box.querySelector("output");
    const frames = data.frames[image.dataset.frames];
    check("the last grid is shown first", image.src === frames.at(-1)[1]);
    const slide = (value) => { input.value = value; input.dispatchEvent(new Event("input", { bubbles: true })); };
    slide(0);
    check("the slider shows the first grid", image.src === frames[0][1] && image.src !== frames.at(-1)[1]);
    check("the slider names the step", output.textContent === frames[0][0].toLocaleString("en-US"));
    check("the alternative text names the step", image.alt.includes(`at step ${output.textContent}`));
    check("the step is spoken", input.getAttribute("aria-valuetext") === `step ${frames[0][0]}`);
    const play = box.querySelector(".play");
    play.click();
    check("play is pressed", play.getAttribute("aria-pressed") === "true");
    await wait(250 * (Number(input.max) + 2));
    check("play runs to the last grid and stops", image.src === frames.at(-1)[1] && play.getAttribute("aria-pressed") === "false");

    const svg = figures[0].querySelector("svg"), other = figures[1].querySelector("svg");
    const labels = (chart) => [...chart.querySelectorAll("text")]
      .map((text) => `${text.textContent}@${Math.round(text.getAttribute("x"))},${Math.round(text.getAttribute("y"))}`).join(" ");
    const whole = labels(svg), otherWhole = labels(other);
    const area = svg.getBoundingClientRect();
    const pointer = (type, share) => svg.dispatchEvent(new PointerEvent(type, {
      bubbles: true, button: 0, pointerId: 1, clientX: area.left + 58 + share * (area.width - 68), clientY: area.top + 50 }));
    pointer("pointerdown", 0.5);
    pointer("pointermove", 0.6);
    check("dragging shows what is selected", svg.querySelector(".selection"));
    pointer("pointermove", 0.75);
    pointer("pointerup", 0.75);
    const zoomed = labels(svg);
    const last = Math.max(...data.charts[0].series.map((series) => series.x.at(-1)));
    const steps = [...svg.querySelectorAll("text[text-anchor=middle]")].map((text) => Number(text.textContent.replaceAll(",", "")));
    check("dragging zooms to what was selected", zoomed !== whole && steps.length && steps.every((step) => step >= 0.49 * last && step <= 0.76 * last));
    check("all charts zoom together", labels(other) !== otherWhole);
    svg.dispatchEvent(new MouseEvent("dblclick", { bubbles: true }));
    check("a double click shows everything", labels(svg) === whole && labels(other) === otherWhole);
    const key = (name, more = {}) => svg.dispatchEvent(new KeyboardEvent("keydown", { key: name, bubbles: true, cancelable: true, ...more }));
    key("+");
    const plus = labels(svg);
    key("ArrowRight", { shiftKey: true });
    check("plus zooms and shift with an arrow moves", plus !== whole && labels(svg) !== plus);
    key("Escape");
    check("Escape shows everything", labels(svg) === whole);
    figures[0].querySelector('[aria-label="Zoom in"]').click();
    figures[0].querySelector('[aria-label="Zoom out"]').click();
    check("zoom out undoes zoom in", labels(svg) === whole);

    const readout = figures[0].querySelector(".readout");
    pointer("pointermove", 1);
    check("hovering reads the last step", !readout.hidden && readout.textContent.includes(`Step ${last.toLocaleString("en-US")}`));
    check("hovering reads every curve", data.charts[0].series.every((series) => readout.textContent.includes(series.name)));
    svg.dispatchEvent(new PointerEvent("pointerleave"));
    check("leaving hides the readout", readout.hidden);
    key("ArrowRight");
    check("the first arrow reads the first step", readout.textContent.includes(`Step ${data.charts[0].series[0].x[0]}`));
    svg.dispatchEvent(new Event("blur"));

    const curves = () => svg.querySelectorAll("path.curve").length, before = curves();
    const entry = figures[0].querySelector(".legend button");
    entry.click();
    check("the legend hides a curve", curves() === before - 1 && entry.getAttribute("aria-pressed") === "false");
    entry.click();
    check("the legend shows it again", curves() === before);
    const logButton = figures[0].querySelector('[aria-label="log axis"]');
    logButton.click();
    check("the logarithmic axis changes the marks", labels(svg) !== whole && logButton.getAttribute("aria-pressed") === "true");
    logButton.click();
    check("and back", labels(svg) === whole);

    const broken = data.charts.flatMap((chart) => chart.series).reduce((count, series) => count + series.broken.length, 0);
    check("values that are not finite are marked", document.querySelectorAll("path.broken").length === broken);
    check("findings are marked in every chart", document.querySelectorAll("line.finding").length === data.findings.length * data.charts.length);
    check("every picture has an alternative text", [...document.images].every((picture) => picture.alt.length > 5));
    check("every picture loaded", [...document.images].every((picture) => picture.closest("details") || picture.naturalWidth > 0));
    check("every control has a name", [...document.querySelectorAll("button,input,[tabindex='0']")].every(
      (control) => control.textContent.trim() || control.getAttribute("aria-label") || control.closest("label")));
    check("no id twice", new Set([...document.querySelectorAll("[id]")].map((one) => one.id)).size === document.querySelectorAll("[id]").length);
    check("every link leads somewhere", [...document.querySelectorAll("a")].every((link) => document.getElementById(link.hash.slice(1))));
    check("nothing is wider than the window", document.documentElement.scrollWidth <= innerWidth);
    const [worst, where] = worstContrast();
    check(`contrast of ${where} is ${worst}`, worst >= 4.5);

    // On paper: the rules for printing, applied to the screen.
    const sheets = [...document.styleSheets].flatMap((sheet) => [...sheet.cssRules]);
    const paper = sheets.filter((rule) => rule.media && rule.media.mediaText === "print");
    check("there are rules for printing", paper.length === 1);
    for (const rule of paper) rule.media.mediaText = "all";
    check("what cannot be clicked is not printed", ["nav", ".bar", ".slider", ".skip"].every(
      (selector) => [...document.querySelectorAll(selector)].every((one) => getComputedStyle(one).display === "none")));
    check("samples and curves are printed", image.getBoundingClientRect().height > 50 && svg.getBoundingClientRect().height > 100);
    check("tables and code are printed whole", [...document.querySelectorAll("pre")].every((one) => one.scrollHeight <= one.clientHeight + 2));
    const [faint, which] = worstContrast();
    check(`printed contrast of ${which} is ${faint}`, faint >= 4.5);
  } catch (error) {
    failures.push(String(error));
  }
  document.documentElement.dataset.selftest = failures.join("; ") || "passed";

  // The lowest contrast of any text with its background (WCAG 2.2, 1.4.3).
  function worstContrast() {
    const channels = (colour) => colour.match(/[\d.]+/g).map(Number);
    const luminance = ([red, green, blue]) => [red, green, blue].map((value) => value / 255)
      .map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4))
      .reduce((sum, value, index) => sum + value * [0.2126, 0.7152, 0.0722][index], 0);
    const background = (element) => {
      for (let one = element; one; one = one.parentElement) {
        const colour = channels(getComputedStyle(one).backgroundColor);
        if (colour.length === 3 || colour[3] > 0) return colour;
      }
      return [255, 255, 255];
    };
    let worst = 21, where = null;
    for (const element of document.querySelectorAll("body *")) {
      const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
      if (!own || element.closest("script,style,noscript,title,.hidden")) continue;
      const style = getComputedStyle(element);
      const [light, dark] = [luminance(channels(element instanceof SVGElement ? style.fill : style.color)), luminance(background(element))].sort((a, b) => b - a);
      const contrast = (light + 0.05) / (dark + 0.05);
      if (contrast < worst) [worst, where] = [contrast, `${element.tagName}.${element.getAttribute("class")} ${element.textContent.slice(0, 30)}`];
    }
    return [worst, where];
  }
});
