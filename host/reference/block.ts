import type { Mamba2Config } from "../checkpoint/types.ts";
import type { ObservedName, ReferenceHooks } from "./hooks.ts";
import { type ActivationAddresses, type LayerAddresses, type StateAddresses, widths } from "./layout.ts";
import type { Offline } from "./offline.ts";

/** The Hadamard transform before out_proj, with everything at an address. */
export interface PlacedHadamard {
  blocks: number;
  order: number;
  log2: number;
  /** [order, order] of i8. */
  signs: number;
  unrotated: readonly number[];
  /** [E / blocks]. */
  scratch: number;
  factor: number;
}

/** Everything a block's kernels need besides its weights. */
export interface BlockRun {
  offline: Offline;
  config: Mamba2Config;
  sequences: number;
  /** Tokens per sequence in this call. */
  tokens: number;
  at: ActivationAddresses;
  online: PlacedHadamard | undefined;
  hooks: ReferenceHooks;
}

/** residual += mixer(norm(residual)), for every row of the call. */
export function runBlock(run: BlockRun, layer: number, weights: LayerAddresses, state: StateAddresses): void {
  blockInput(run, layer, weights);
  blockInner(run, layer, weights, state);
  blockOutput(run, layer, weights);
}

/** Leaves the input of in_proj in `stream`. */
export function blockInput(run: BlockRun, layer: number, weights: Pick<LayerAddresses, "norm">): void {
  const { offline, config, at, hooks } = run;
  const { dModel, normEps } = config;
  const rows = run.sequences * run.tokens;
  observe(run, layer, "r", at.residual, rows, dModel, dModel);
  offline.kernels.rmsNorm(at.stream, at.residual, weights.norm, rows, dModel, dModel, normEps);
  hooks.linearInput?.({ layer, matrix: "in_proj" }, offline.floats(at.stream, rows * dModel), rows);
}

/** From `stream` to the input of out_proj in `inner`. */
export function blockInner(run: BlockRun, layer: number, weights: LayerAddresses, state: StateAddresses): void {
  const { offline, config, at, hooks } = run;
  const { dModel, dInner } = config;
  const rows = run.sequences * run.tokens;
  const inProjRows = widths(config).inProj;
  offline.kernels.matmul(at.projected, at.stream, weights.inProj, weights.inProjBias, rows, inProjRows, dModel);
  observeProjected(run, layer, rows);
  mixSequence(run, layer, weights, state);
  gatedNorm(run, layer, weights, rows);
  hooks.linearInput?.({ layer, matrix: "out_proj" }, offline.floats(at.inner, rows * dInner), rows);
}

/** Adds out_proj of `inner` to the residual. */
export function blockOutput(
  run: BlockRun,
  layer: number,
  weights: Pick<LayerAddresses, "outProj" | "outProjBias">,
): void {
  const { offline, config, at } = run;
  const { dModel, dInner } = config;
  const { kernels } = offline;
  const rows = run.sequences * run.tokens;
  kernels.matmul(at.stream, at.inner, weights.outProj, weights.outProjBias, rows, dModel, dInner);
  observe(run, layer, "o", at.stream, rows, dModel, dModel);
  kernels.add(at.residual, at.stream, rows * dModel);
}

/** Convolution, time step and scan: the parts that carry state. Leaves y in `inner`. */
function mixSequence(run: BlockRun, layer: number, weights: LayerAddresses, state: StateAddresses): void {
  const { offline, config, sequences, tokens, at } = run;
  const { kernels } = offline;
  const { dInner, nHeads, headDim, dState, nGroups, convWidth, timeStepLimit } = config;
  const { conv, inProj } = widths(config);
  const rows = sequences * tokens;
  const xbcIn = at.projected + 4 * dInner;
  const dtIn = xbcIn + 4 * conv;
  const [low, high] = timeStepLimit;

  kernels.conv(at.xbc, xbcIn, inProj, weights.conv, weights.convBias, state.conv, sequences, tokens, conv, convWidth);
  observeXbc(run, layer, ["xs", "Bs", "Cs"], at.xbc, rows, conv);
  kernels.timeStep(at.dt, dtIn, inProj, weights.dtBias, rows, nHeads, low, high);
  observe(run, layer, "dts", at.dt, rows, nHeads, nHeads);
  kernels.scan(
    at.inner,
    at.xbc,
    at.dt,
    weights.A,
    weights.D,
    state.ssm,
    at.peak,
    sequences,
    tokens,
    nHeads,
    headDim,
    dState,
    nGroups,
  );
  observe(run, layer, "h", at.peak, 1, nHeads, nHeads);
  observe(run, layer, "y", at.inner, rows, dInner, dInner);
}

/** Turns y into the input of out_proj. */
function gatedNorm(run: BlockRun, layer: number, weights: LayerAddresses, rows: number): void {
  const { offline, config, at, online, hooks } = run;
  const { kernels } = offline;
  const { dInner, normEps } = config;
  const inProjRows = widths(config).inProj;

  kernels.gate(at.inner, at.projected, inProjRows, rows, dInner);
  observe(run, layer, "zs", at.projected, rows, dInner, inProjRows);
  observe(run, layer, "g", at.inner, rows, dInner, dInner);
  if (hooks.observe) {
    // The scan is done with the convolution's output, which has room for [R, E].
    kernels.scaleColumns(at.xbc, at.inner, weights.gateNorm, rows, dInner);
    observe(run, layer, "u0", at.xbc, rows, dInner, dInner);
  }
  kernels.rmsNorm(at.inner, at.inner, weights.gateNorm, rows, dInner, dInner / config.nGroups, normEps);
  observe(run, layer, "u1", at.inner, rows, dInner, dInner);
  if (online && !online.unrotated.includes(layer)) {
    const { blocks, order, log2, signs, factor, scratch } = online;
    kernels.hadamard(at.inner, rows * blocks, order, log2, signs, factor, scratch);
  }
}

function observeProjected(run: BlockRun, layer: number, rows: number): void {
  const { dInner, nHeads } = run.config;
  const { conv, inProj } = widths(run.config);
  const { projected } = run.at;
  observe(run, layer, "z", projected, rows, dInner, inProj);
  observeXbc(run, layer, ["x", "B", "C"], projected + 4 * dInner, rows, inProj);
  observe(run, layer, "dt", projected + 4 * (dInner + conv), rows, nHeads, inProj);
}

function observeXbc(
  run: BlockRun,
  layer: number,
  names: [ObservedName, ObservedName, ObservedName],
  pointer: number,
  rows: number,
  stride: number,
): void {
  const { dInner, dState, nGroups } = run.config;
  const shared = nGroups * dState;
  observe(run, layer, names[0], pointer, rows, dInner, stride);
  observe(run, layer, names[1], pointer + 4 * dInner, rows, shared, stride);
  observe(run, layer, names[2], pointer + 4 * (dInner + shared), rows, shared, stride);
}

/** Shows a block of rows to the caller, when there is one who looks. */
export function observe(
  run: BlockRun,
  layer: number,
  name: ObservedName,
  pointer: number,
  rows: number,
  columns: number,
  stride: number,
): void {
  run.hooks.observe?.(layer, name, {
    values: run.offline.floats(pointer, (rows - 1) * stride + columns),
    rows,
    columns,
    stride,
    maxAbs: () => run.offline.kernels.maxAbs(pointer, stride, rows, columns),
  });
}
