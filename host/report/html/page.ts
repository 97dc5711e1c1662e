/** A report as one HTML file: no script, no font, no request; what it may do at all is in its policy. */
import { createHash } from "node:crypto";
import { formatNumber, KINDS } from "../quantity.ts";
import type { Report } from "../report.ts";
import { type Section, sectionsOf, subjectLine, type Table, titleOf } from "../sections.ts";
import { headline } from "../tables.ts";
import { el, Markup } from "./markup.ts";
import { picturesOf } from "./pictures.ts";
import { STYLE } from "./style.ts";

export function formatHtml(report: Report): string {
  const sections = sectionsOf(report);
  const pictures = picturesOf(report);
  const body = el(
    "body",
    {},
    header(report, sections),
    el(
      "main",
      {},
      sections.map((section) => sectionOf(section, report, pictures[section.id] ?? [])),
    ),
    footer(report),
  );
  return `<!doctype html>\n${el("html", { lang: "en" }, head(titleOf(report)), body)}\n`;
}

function head(title: string): Markup {
  const hash = createHash("sha256").update(STYLE).digest("base64");
  const policy = `default-src 'none'; style-src 'sha256-${hash}'; base-uri 'none'; form-action 'none'`;
  return el(
    "head",
    {},
    el("meta", { charset: "utf-8" }),
    el("meta", { "http-equiv": "Content-Security-Policy", content: policy }),
    el("meta", { name: "viewport", content: "width=device-width, initial-scale=1" }),
    el("meta", { name: "referrer", content: "no-referrer" }),
    el("title", {}, `${title}: LightMamba`),
    el("style", {}, new Markup(STYLE)),
  );
}

function header(report: Report, sections: readonly Section[]): Markup {
  const links = sections.map(({ id, title }) => el("li", {}, el("a", { href: `#${id}` }, title)));
  return el(
    "header",
    {},
    el("h1", {}, titleOf(report)),
    el("p", { class: "soft" }, subjectLine(report)),
    el("nav", { "aria-label": "Sections" }, el("ul", {}, links)),
  );
}

function sectionOf(section: Section, report: Report, pictures: readonly Markup[]): Markup {
  const { id, title, text } = section;
  const shown = pictures.length === 0 ? undefined : el("figure", {}, scrolled(title, pictures[0]!), pictures.slice(1));
  const tables = id === "summary" ? [tiles(report), kinds()] : section.tables.map(tableOf);
  return el(
    "section",
    { id, "aria-labelledby": `${id}-heading` },
    el("h2", { id: `${id}-heading` }, title),
    el("p", {}, text),
    shown,
    tables,
  );
}

function tiles({ estimate }: Report): Markup {
  const of = headline(estimate).map(({ what, value, unit, band, kind }) =>
    el(
      "div",
      {},
      el("dt", {}, what),
      el("dd", { class: "value" }, `${formatNumber(value)} ${unit}`),
      el("dd", { class: "band" }, band && `${band.map(formatNumber).join(" to ")} `, badge(kind)),
    ),
  );
  return el("dl", { class: "tiles" }, of);
}

/** How each number is known. */
function kinds(): Markup {
  const of = Object.entries(KINDS).map(([kind, meaning]) => [el("dt", {}, badge(kind)), el("dd", {}, meaning)]);
  return el("dl", { class: "kinds" }, of);
}

const badge = (kind: string) => el("span", { class: `kind ${kind}` }, kind);

/** Wider than a small screen: it scrolls by itself, with the keyboard too. */
function scrolled(name: string, content: Markup): Markup {
  return el("div", { class: "scroll", role: "region", tabindex: 0, "aria-label": name }, content);
}

/** Of a cell that may break into lines. */
const LONG = 40;

function tableOf({ caption, titles, left, cells }: Table): Markup {
  const side = (i: number) => (left[i] ? "left" : undefined);
  const long = titles.map((_, i) => left[i] && cells.some((row) => row[i]!.length > LONG));
  const body = cells.map((row) =>
    el(
      "tr",
      {},
      row.map((text, i) =>
        i === 0
          ? el("th", { scope: "row", class: "left" }, text)
          : el("td", { class: long[i] ? "left long" : side(i) }, Object.hasOwn(KINDS, text) ? badge(text) : text),
      ),
    ),
  );
  const head = el(
    "tr",
    {},
    titles.map((title, i) => el("th", { scope: "col", class: i === 0 ? "left" : side(i) }, title)),
  );
  return scrolled(caption, el("table", {}, el("caption", {}, caption), el("thead", {}, head), el("tbody", {}, body)));
}

function footer({ version }: Report): Markup {
  return el(
    "footer",
    {},
    `LightMamba toolkit ${version}. Estimates: docs/estimate.md; the RTL: docs/accelerator.md; accuracy: docs/quantization.md.`,
  );
}
