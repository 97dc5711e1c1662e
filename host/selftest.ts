/** Whether a device computes what WebAssembly does, from small things to a whole layer: where it does not, the first step that fails says which part. */
import * as lm from "../assembly/device.generated.ts";
import type { Mamba2Config } from "./checkpoint/types.ts";
import { UNIT_NAMES } from "./device/boards.generated.ts";
import type { Device } from "./device/index.ts";
import { LightMambaError } from "./errors.ts";
import { shapeConfig } from "./model/shapes.ts";
import type { Partition } from "./runtime/accelerator.ts";
import { Model } from "./runtime/model.ts";
import { fillRandom, syntheticDescription } from "./runtime/synthetic.ts";

export interface SelftestStep {
  name: string;
  /** What was done, for people. */
  text: string;
}

/** A small layer: every unit has work, also for several tokens, and a simulation is through in seconds. */
const LAYER: Mamba2Config = {
  ...shapeConfig("mamba2-130m", 1),
  ...{ dModel: 128, dInner: 256, nHeads: 8, headDim: 32, dState: 32, vocabSize: 96, vocabUsed: 96 },
};
/** A lm_head alone. */
const MATRIX: Mamba2Config = { ...LAYER, nLayers: 0 };
const TOKENS = [3, 1, 4, 15, 92, 65, 35];

/** Each step as it is done; the first that fails throws LightMambaError. Memory that the device may write is overwritten. */
export function* selftest(device: Device): Generator<SelftestStep, void> {
  yield { name: "identity", text: identity(device) };
  yield { name: "copy", text: copies(device) };
  yield { name: "matrix", text: compare(device, MATRIX, "split") };
  yield { name: "matrices and SSM of a layer", text: compare(device, LAYER, "split") };
  yield { name: "layer", text: compare(device, LAYER, "fused") };
}

/** Opening the device has checked them. */
function identity({ memory, build }: Device): string {
  const version = memory.readRegister(lm.REG_VERSION);
  const units = UNIT_NAMES.filter((_, unit) => (build.units >> unit) & 1).join(" ");
  const contract = memory.readRegister(lm.REG_CONTRACT).toString(16);
  return `version ${version >>> 16}.${version & 0xffff}, contract ${contract}, ${build.ports} ${build.ports === 1 ? "port" : "ports"}, units ${units}`;
}

const COPY_BYTES = [64, 4096, 65536];

function copies(device: Device): string {
  const sizes = COPY_BYTES.filter((bytes) => 2 * bytes <= device.dataBytes && bytes <= device.build.maxCopy);
  for (const bytes of sizes) {
    const [from, to] = [device.dataAddress, device.dataAddress + bytes];
    const data = Buffer.alloc(bytes);
    fillRandom(data, bytes);
    device.write(from, data);
    device.write(to, Buffer.alloc(bytes));
    device.run([{ opcode: lm.OP_COPY, count: bytes, addresses: [from, to] }]);
    const found = device.read(to, bytes);
    const at = data.findIndex((byte, i) => byte !== found[i]);
    if (at >= 0) throw differs(`copy of ${bytes} bytes, byte ${at}`, data[at]!, found[at]!);
  }
  return `${sizes.join(", ")} bytes there and back`;
}

/** All logits of all tokens, one by one and in passes. */
function compare(device: Device, config: Mamba2Config, partition: Partition): string {
  const description = syntheticDescription(config);
  const expected = Model.synthetic(config, description);
  const found = Model.synthetic(config, description, { device, partition });
  try {
    const [a, b] = [expected.session(), found.session()];
    for (const tokens of [TOKENS.slice(0, 1), TOKENS.slice(1, 2), TOKENS.slice(2)]) {
      a.prefill(tokens);
      b.prefill(tokens);
      const [want, have] = [expected.rawLogits(), found.rawLogits()];
      const at = want.findIndex((value, i) => value !== have[i]);
      if (at >= 0) throw differs(`after ${a.tokens} tokens, logit ${at}`, want[at]!, have[at]!);
    }
  } finally {
    found.close();
    expected.close();
  }
  return `${TOKENS.length} tokens, ${config.vocabSize} logits each, ${partition}: the bits of WebAssembly`;
}

function differs(field: string, expected: number, found: number): LightMambaError {
  return new LightMambaError("verification", "the device computes something else", { field, expected, found });
}
