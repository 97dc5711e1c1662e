/** What LightMamba (DATE 2025, arXiv 2502.15260) reports of Mamba2-2.7B. Its tables were read in summaries of it and in its repository, not in the paper itself. */

const ABSTRACT = "arXiv 2502.15260, abstract: simulated by them too";
const TABLES = "arXiv 2502.15260, as quoted in summaries";
const README = "PKU-SEC-Lab/LightMamba, README";

const of = (value: number, source = TABLES) => ({ value, kind: "published", source }) as const;

export const PUBLISHED = {
  // Tokens a second
  ...{ fp16: of(2.23), naturalOrder: of(5.32), vck190: of(7.21, README), vck190W8A8: of(3.61), u280: of(93, ABSTRACT) },
  mmuBusy: of(0.96),
  tokensAJoule: of(2.25),
  // Of the design on VCK190 with W4A4; 912 block RAMs are halves
  ...{ luts: of(107_000), flipFlops: of(130_000), dsps: of(228), blockRams: of(456), ultraRams: of(61) },
} as const;

/** The design's roof: one port, and products of its matrix unit. */
export const PAPER_VCK190 = { gigabytesPerSecond: 12, productsACycle: 64, clockMhz: 400 } as const;
