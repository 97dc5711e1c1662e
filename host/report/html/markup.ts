/** HTML and SVG as text. What comes from outside goes through `escaped`; attributes and children do so here. */

/** Markup that is right already. */
export class Markup {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
  toString(): string {
    return this.text;
  }
}

export type Child = Markup | string | number | undefined | readonly Child[];
export type Attributes = { readonly [name: string]: string | number | undefined };

export function escaped(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");
}

/** Elements that have no end tag in HTML. */
const VOID = new Set(["meta", "br"]);

export function el(name: string, attributes: Attributes = {}, ...children: Child[]): Markup {
  const pairs = Object.entries(attributes).filter(([, value]) => value !== undefined);
  const open = `<${name}${pairs.map(([key, value]) => ` ${key}="${escaped(short(value!))}"`).join("")}>`;
  return new Markup(VOID.has(name) ? open : `${open}${inner(children)}</${name}>`);
}

function inner(child: Child): string {
  if (child === undefined) return "";
  if (child instanceof Markup) return child.text;
  if (typeof child === "object") return child.map(inner).join("");
  return escaped(String(child));
}

/** Places in a picture need no more than a tenth. */
const short = (value: string | number) => (typeof value === "number" ? String(Math.round(value * 10) / 10) : value);
