/** The page of a report in a real browser, with the network off: what it loads, says, shows and prints. LIGHTMAMBA_SHOTS=<folder> keeps the pictures. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { pathToFileURL } from "node:url";
import { type BuildChoice, type ModelChoice, subjectOf } from "../../host/estimate/subject.ts";
import { formatHtml } from "../../host/report/html/page.ts";
import { gatherReport } from "../../host/report/report.ts";
import { Browser, noBrowser } from "./browser.ts";
import { COLLIDING, EMPTY, FAINT, NAVIGATION, OVERFLOWING, PAPER, SECTIONS, UNNAMED } from "./looks.ts";

const SECTION_IDS = [
  ...["summary", "comparison", "roofline", "layer", "ablation", "cost", "pareto", "accuracy", "assumptions"],
];
const PLAIN: BuildChoice = { board: "vck190", partition: "fused", serial: [], stateLanes: 2 };
/** A model whose layer was recorded, one port of a shape, and a board without power and logic. */
const PAGES: { readonly [name: string]: [ModelChoice, BuildChoice] } = {
  recorded: [{}, PLAIN],
  shape: [{ shape: "mamba2-130m" }, { ...PLAIN, ports: 1, serial: ["ssm"] }],
  bare: [{}, { ...PLAIN, board: "sim" }],
};
const LOOKS = [400, 1400].flatMap((width) => (["light", "dark"] as const).map((scheme) => ({ width, scheme })));

describe("the page in a browser", { skip: noBrowser }, () => {
  const folder = mkdtempSync(join(tmpdir(), "lightmamba-page-"));
  const shots = process.env.LIGHTMAMBA_SHOTS;
  let browser: Browser;
  const keep = (name: string, bytes: Buffer) => shots !== undefined && writeFileSync(join(shots, name), bytes);

  before(async () => {
    browser = await Browser.start();
    const offline = { offline: true, latency: 0, downloadThroughput: -1, uploadThroughput: -1 };
    await browser.send("Network.emulateNetworkConditions", offline);
  });
  after(async () => {
    await browser.close();
    rmSync(folder, { recursive: true, force: true });
  });

  for (const [name, [model, build]] of Object.entries(PAGES)) {
    describe(name, () => {
      const file = join(folder, `${name}.html`);
      const answer = (expression: string) => browser.evaluate<string[]>(expression);

      before(async () => {
        const report = await gatherReport(subjectOf(model), { ...build, prompt: 8 }, { jobs: 2 });
        writeFileSync(file, formatHtml(report));
      });

      it("opens without a request, an error or a word on the console", async () => {
        browser.events.length = 0;
        await browser.open(pathToFileURL(file).href);
        const of = (method: string) => browser.events.filter((event) => event.method === method);
        assert.equal(of("Network.requestWillBeSent").length, 1, "the page itself");
        for (const method of ["Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown"])
          assert.deepEqual(of(method), []);
      });

      it("has names for everything that is not text", async () => assert.deepEqual(await answer(UNNAMED), []));

      for (const { width, scheme } of LOOKS) {
        it(`has all sections, whole and legible: ${width} px, ${scheme}`, async () => {
          await browser.show(width, scheme);
          assert.deepEqual(await answer(SECTIONS), SECTION_IDS);
          for (const looks of [EMPTY, OVERFLOWING, COLLIDING, FAINT]) assert.deepEqual(await answer(looks), []);
          const paper = await browser.evaluate<string>(PAPER);
          assert.equal(paper === "rgb(255, 255, 255)", scheme === "light");
          const shot = await browser.screenshot();
          assert.ok(shot.length > 50_000, `a picture of ${shot.length} bytes`);
          keep(`${name}-${width}-${scheme}.png`, shot);
        });
      }

      it("prints on white paper without its navigation, and as PDF", async () => {
        await browser.show(720, "dark", "print");
        assert.equal(await browser.evaluate<string>(PAPER), "rgb(255, 255, 255)");
        assert.equal(await browser.evaluate<string>(NAVIGATION), "none");
        for (const looks of [COLLIDING, FAINT, OVERFLOWING]) assert.deepEqual(await answer(looks), []);
        const pdf = await browser.pdf();
        const pages = pdf.toString("latin1").match(/\/Type ?\/Page\b/g)!.length;
        assert.ok(pdf.subarray(0, 5).equals(Buffer.from("%PDF-")) && pages >= 4 && pages <= 14, `${pages} pages`);
        keep(`${name}.pdf`, pdf);
      });
    });
  }

  it("shows the checks' worth: a page with faults fails each of them", async () => {
    const file = join(folder, "faults.html");
    const style = "body{background:#fff}.chart{width:50px}h1{color:#bbb}p{width:3000px}";
    const chart = `<svg class="chart" viewBox="0 0 9 9"><title>t</title><text x="0" y="9">one</text><text x="1" y="9">two</text></svg>`;
    const body = `<h1>h</h1><p id="a">wide</p><section id="a"><figure>${chart}</figure></section>`;
    writeFileSync(
      file,
      `<!doctype html><style>${style}</style>${body.replace("<svg", '<svg aria-labelledby="b"')}<script src="https://example.org/x.js"></script>`,
    );
    browser.events.length = 0;
    await browser.show(400, "light");
    await browser.open(pathToFileURL(file).href);
    for (const looks of [EMPTY, OVERFLOWING, COLLIDING, FAINT, UNNAMED])
      assert.notDeepEqual(await browser.evaluate(looks), []);
    const requests = browser.events.filter(({ method }) => method === "Network.requestWillBeSent");
    assert.equal(requests.length, 2);
    assert.ok(browser.events.some(({ method }) => method === "Log.entryAdded"));
  });
});
