/** What is asked of a page in the browser: expressions that run there and answer with what is wrong. */

/** As an expression that runs a function of the page. */
const run = (body: string) => `(() => { ${body} })()`;

/** Elements outside of what scrolls by itself that reach beyond the window, and the page if it does. */
export const OVERFLOWING = run(`
  const wide = [...document.querySelectorAll("body *")].filter((one) =>
    one.closest(".scroll") === null && one.getBoundingClientRect().right > innerWidth + 1);
  const names = wide.map((one) => one.tagName + "." + one.className + ": " + one.textContent.slice(0, 40));
  return document.documentElement.scrollWidth > innerWidth ? ["the page", ...names] : names;`);

/** Sections and pictures that take no room. */
export const EMPTY = run(`
  const empty = [...document.querySelectorAll("section, figure svg.chart, table, .tiles")].filter((one) => {
    const { width, height } = one.getBoundingClientRect();
    return width < 100 || height < 30;
  });
  return empty.map((one) => one.tagName + " " + one.id);`);

/** Texts of a picture that touch another one, or leave the picture. */
export const COLLIDING = run(`
  const wrong = [];
  for (const svg of document.querySelectorAll("svg.chart")) {
    const frame = svg.getBoundingClientRect();
    const texts = [...svg.querySelectorAll("text")].map((one) => ({ text: one.textContent, box: one.getBoundingClientRect() }));
    for (const [i, { text, box }] of texts.entries()) {
      if (box.left < frame.left - 1 || box.right > frame.right + 1 || box.top < frame.top - 1 || box.bottom > frame.bottom + 1)
        wrong.push(svg.querySelector("title").textContent + ": outside: " + text);
      for (const { text: other, box: b } of texts.slice(0, i)) {
        const [across, down] = [Math.min(box.right, b.right) - Math.max(box.left, b.left), Math.min(box.bottom, b.bottom) - Math.max(box.top, b.top)];
        if (across > 1 && down > 4) wrong.push(svg.querySelector("title").textContent + ": " + text + " on " + other);
      }
    }
  }
  return wrong;`);

/** Texts with less than 4.5, and pictures' lines and areas with less than 3, of contrast to the page (WCAG 2.2, AA). */
export const FAINT = run(`
  const luminance = (color) => {
    const [r, g, b] = color.match(/[\\d.]+/g).map((c) => c / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (a, b) => { const [x, y] = [luminance(a), luminance(b)].sort((p, q) => q - p); return (x + 0.05) / (y + 0.05); };
  const behind = (one) => {
    for (let at = one; at !== null; at = at.parentElement) {
      const { backgroundColor } = getComputedStyle(at);
      if (backgroundColor !== "rgba(0, 0, 0, 0)") return backgroundColor;
    }
    return "rgb(255, 255, 255)";
  };
  const wrong = [];
  for (const one of document.querySelectorAll("h1, h2, p, a, th, td, dt, dd, caption, .kind, li, footer")) {
    const found = contrast(getComputedStyle(one).color, behind(one));
    if (found < 4.5) wrong.push(one.tagName + "." + one.className + " " + found.toFixed(2) + ": " + one.textContent.slice(0, 30));
  }
  const paper = behind(document.body);
  for (const one of document.querySelectorAll("svg text:not(.on)")) {
    const found = contrast(getComputedStyle(one).fill, paper);
    if (found < 4.5) wrong.push("text " + found.toFixed(2) + ": " + one.textContent);
  }
  for (const one of document.querySelectorAll("svg .fill:not(.pale), svg .line, svg .ring")) {
    const style = getComputedStyle(one);
    const found = contrast(one.classList.contains("fill") ? style.fill : style.stroke, paper);
    if (found < 3) wrong.push(one.tagName + "." + one.getAttribute("class") + " " + found.toFixed(2));
  }
  return [...new Set(wrong)];`);

/** What a reader who sees no pictures, or uses no pointer, would miss. */
export const UNNAMED = run(`
  const wrong = [];
  const ids = [...document.querySelectorAll("[id]")].map((one) => one.id);
  for (const id of ids) if (ids.indexOf(id) !== ids.lastIndexOf(id)) wrong.push("id twice: " + id);
  for (const one of document.querySelectorAll("svg:not([aria-hidden])")) {
    const named = one.getAttribute("aria-labelledby").split(" ").every((id) => document.getElementById(id)?.textContent.length > 5);
    if (!named || one.getAttribute("role") !== "img") wrong.push("svg without name");
  }
  for (const one of document.querySelectorAll("table")) {
    if (!one.caption || [...one.querySelectorAll("th")].some((th) => !th.scope)) wrong.push("table: " + one.caption?.textContent);
  }
  for (const one of document.querySelectorAll(".scroll")) {
    if (one.tabIndex !== 0 || !one.getAttribute("aria-label")) wrong.push("what scrolls has no name");
  }
  for (const one of document.querySelectorAll("nav a")) {
    if (document.querySelector(one.getAttribute("href")) === null) wrong.push("link to nothing: " + one.textContent);
  }
  if (document.documentElement.lang === "" || document.title.length < 5 || document.querySelectorAll("h1").length !== 1) wrong.push("page");
  return wrong;`);

export const SECTIONS = run(`return [...document.querySelectorAll("section")].map((one) => one.id);`);
export const PAPER = `getComputedStyle(document.body).backgroundColor`;
export const NAVIGATION = `getComputedStyle(document.querySelector("nav")).display`;
