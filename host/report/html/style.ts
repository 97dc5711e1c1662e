/** The page's looks: light and dark as the reader's system has it, light on paper. No fonts but the system's. */

/** Ink and paper; s0 to s5 are told apart on both, each with a contrast of 4.5 to its paper. */
const LIGHT = `--paper:#fff;--panel:#f6f7f9;--ink:#1b1f24;--soft:#555d66;--rule:#d4d9df;--on:#fff;
  --s0:#0a5cad;--s1:#b3400a;--s2:#5b6168;--s3:#1c7430;--s4:#8a2da5;--s5:#7d5a00`;
const DARK = `--paper:#14171b;--panel:#1d2126;--ink:#e8ebef;--soft:#a9b1ba;--rule:#3a424b;--on:#0e1013;
  --s0:#6cb2ff;--s1:#ff9d66;--s2:#a9b1ba;--s3:#76d275;--s4:#d79bf0;--s5:#e3bd4a`;

const SERIES = [0, 1, 2, 3, 4, 5]
  .map((i) => `.s${i}{--color:var(--s${i})}`)
  .concat(".ink{--color:var(--ink)}")
  .join("");

export const STYLE = `
:root{color-scheme:light dark;${LIGHT}}
@media (prefers-color-scheme:dark){:root{${DARK}}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif}
main,header,footer{max-width:66rem;margin:0 auto;padding:0 1rem}
header{padding-top:2rem}
h1{font-size:1.75rem;line-height:1.2;margin:0 0 .25rem;overflow-wrap:anywhere}
h2{font-size:1.3rem;margin:0 0 .5rem}
p{max-width:50rem;margin:.25rem 0 1rem}
.soft,footer{color:var(--soft)}
a{color:var(--s0)}
nav ul{list-style:none;display:flex;flex-wrap:wrap;gap:.25rem 1rem;padding:0;margin:1rem 0}
section{padding:1.5rem 0;border-top:1px solid var(--rule)}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(11rem,1fr));gap:.75rem;margin:1rem 0}
.tiles div{background:var(--panel);border:1px solid var(--rule);border-radius:.5rem;padding:.6rem .8rem}
.tiles dt{color:var(--soft);font-size:.85rem}
.tiles dd{margin:0}
.tiles .value{font-size:1.35rem;font-weight:600}
.tiles .band{color:var(--soft);font-size:.85rem;min-height:1.3em}
.scroll{overflow-x:auto;margin:1rem 0}
.scroll:focus-visible,a:focus-visible{outline:2px solid var(--s0);outline-offset:2px}
table{border-collapse:collapse;font-size:.875rem;font-variant-numeric:tabular-nums}
caption{text-align:left;font-weight:600;padding-bottom:.35rem}
th,td{padding:.3rem .7rem .3rem 0;text-align:right;vertical-align:top;border-bottom:1px solid var(--rule);white-space:nowrap}
th{color:var(--soft);font-weight:600;vertical-align:bottom}
.left{text-align:left}
td.left{white-space:normal;min-width:8rem}
td.long{min-width:14rem}
th[scope=row]{color:inherit;font-weight:400;vertical-align:top;white-space:normal;min-width:9rem}
.kind{display:inline-block;border:1px solid currentColor;border-radius:.25rem;padding:0 .35rem;font-size:.75rem;white-space:nowrap}
.kind.published{color:var(--s2)}.kind.bound{color:var(--s5)}.kind.estimated{color:var(--s0)}
.kind.synthesized{color:var(--s4)}.kind.simulated{color:var(--s1)}.kind.measured{color:var(--s3)}
.kinds{display:grid;grid-template-columns:max-content 1fr;gap:.25rem .75rem;margin:1rem 0;font-size:.875rem}
.kinds dd{margin:0}
figure{margin:1rem 0}
.pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,30rem),1fr));gap:0 1.5rem}
.chart{display:block;width:100%;max-width:60rem;height:auto;min-width:42rem}
.pair .chart{min-width:30rem;max-width:38rem}
.chart text{font:12px system-ui,-apple-system,"Segoe UI",sans-serif;fill:var(--ink)}
.chart .axis{fill:var(--soft)}
.chart .strong{font-weight:600}
.chart .halo{paint-order:stroke;stroke:var(--paper);stroke-width:3px}
.chart .on{fill:var(--on)}
.chart .grid{stroke:var(--rule)}
.chart .leader{stroke:var(--soft);stroke-dasharray:2 2}
${SERIES}
.fill{fill:var(--color)}
.pale{opacity:.35}
.line{stroke:var(--color);stroke-width:2;fill:none}
.ring{stroke:var(--color);stroke-width:2;fill:var(--paper)}
.legend{list-style:none;display:flex;flex-wrap:wrap;gap:.15rem 1.1rem;padding:0;margin:.25rem 0;font-size:.85rem}
.legend li{display:flex;align-items:center;gap:.4rem}
.swatch{width:14px;height:14px;flex:none}
footer{padding-top:1rem;padding-bottom:2rem;border-top:1px solid var(--rule);font-size:.875rem}
@page{size:A4;margin:14mm}
@media print{
:root{color-scheme:light;${LIGHT}}
body{font-size:10pt}
nav{display:none}
main,header,footer{max-width:none;padding:0}
header{padding-top:0}
section{padding:.6rem 0}
section>h2,caption{break-after:avoid}
figure,tr,.tiles div{break-inside:avoid}
.scroll{overflow:visible}
.chart,.pair .chart{min-width:0;max-width:100%}
table{font-size:7.5pt}
th,td{padding:.15rem .5rem .15rem 0}
td.left{min-width:0}
td.long{min-width:7rem}
a{color:inherit;text-decoration:none}
}
`;
