/** The tables of docs/estimate.md, from the figures that are kept and the model. No RTL. */
import { PAPER_COLUMNS, paperRows } from "../../host/estimate/paper.ts";
import { markdown, type Page, pageOf } from "../pages.ts";
import * as resources from "./resources.ts";
import { compare, markdownCompared, readRows } from "./table.ts";

export function estimatePage(paper = paperRows()): Page {
  const validation = markdownCompared(readRows().map(compare));
  const counted = resources.readCounted().map(resources.compare);
  return pageOf("docs/estimate.md", {
    validation,
    paper: markdown(paper, PAPER_COLUMNS),
    resources: `${markdown(counted, resources.COLUMNS)}\n\n${resources.summary(counted)}`,
  });
}
