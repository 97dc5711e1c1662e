/** Descriptors and completions as bytes: docs/device.md. */
import * as lm from "../../assembly/device.generated.ts";
import { OPCODE_NAMES, STATUS_TEXTS } from "./boards.generated.ts";

/** What a command says; fields that its opcode has no use for stay 0. */
export interface Command {
  opcode: number;
  flags?: number;
  layer?: number;
  /** Rows, values or bytes. */
  count?: number;
  inputs?: number;
  tokens?: number;
  /** Activation bits: 4, 5, 6 or 8. */
  format?: number;
  /** A0 to A3. */
  addresses?: readonly (number | bigint)[];
  heads?: number;
  headDim?: number;
  state?: number;
  groups?: number;
  conv?: number;
  route?: number;
  planes?: number;
  weightGroup?: number;
  stride?: number;
}

export interface Completion {
  sequence: number;
  status: number;
  opcode: number;
  unit: number;
  info: bigint;
  /** Cycles of the device: when it began, and how long it took. */
  start: bigint;
  cycles: number;
  beatsRead: number;
  beatsWritten: number;
  /** Of the cycles: waiting for the descriptor before, because of FOLLOW. */
  held: number;
}

/** 64 bytes of descriptor number `sequence`. */
export function encode(command: Command, sequence: number): Buffer {
  const out = Buffer.alloc(lm.DESCRIPTOR);
  out.writeUInt8(command.opcode, lm.DESC_OPCODE);
  out.writeUInt8(command.flags ?? 0, lm.DESC_FLAGS);
  out.writeUInt16LE(command.layer ?? 0, lm.DESC_LAYER);
  out.writeUInt32LE(sequence >>> 0, lm.DESC_SEQUENCE);
  out.writeUInt32LE(command.count ?? 0, lm.DESC_COUNT);
  out.writeUInt16LE(command.inputs ?? 0, lm.DESC_INPUTS);
  out.writeUInt8(command.tokens ?? 0, lm.DESC_TOKENS);
  out.writeUInt8(command.format ?? 0, lm.DESC_FORMAT);
  (command.addresses ?? []).forEach((address, i) => {
    out.writeBigUInt64LE(BigInt(address), lm.DESC_A0 + 8 * i);
  });
  out.writeUInt16LE(command.heads ?? 0, lm.DESC_HEADS);
  out.writeUInt16LE(command.headDim ?? 0, lm.DESC_HEAD_DIM);
  out.writeUInt16LE(command.state ?? 0, lm.DESC_STATE);
  out.writeUInt8(command.groups ?? 0, lm.DESC_GROUPS);
  out.writeUInt8(command.conv ?? 0, lm.DESC_CONV);
  out.writeUInt8(command.route ?? 0, lm.DESC_ROUTE);
  out.writeUInt8(command.planes ?? 0, lm.DESC_PLANES);
  out.writeUInt8(command.weightGroup ?? 0, lm.DESC_WEIGHT_GROUP);
  out.writeUInt8(command.stride ?? 0, lm.DESC_STRIDE);
  return seal(out);
}

/** Sets the check word. */
export function seal(descriptor: Buffer): Buffer {
  let check: number = lm.CHECK_XOR;
  for (let at = 0; at < lm.DESC_CHECK; at += 4) check ^= descriptor.readUInt32LE(at);
  descriptor.writeUInt32LE(check >>> 0, lm.DESC_CHECK);
  return descriptor;
}

/** The completion of `sequence`, or undefined while it is not there. */
export function decode(bytes: Buffer, sequence: number): Completion | undefined {
  const found = bytes.readUInt32LE(lm.DONE_SEQUENCE);
  if (found !== sequence >>> 0 || bytes.readUInt32LE(lm.DONE_DONE) !== (found ^ lm.DONE_XOR) >>> 0) return undefined;
  return {
    sequence: found,
    status: bytes.readUInt8(lm.DONE_STATUS),
    opcode: bytes.readUInt8(lm.DONE_OPCODE),
    unit: bytes.readUInt8(lm.DONE_UNIT),
    info: bytes.readBigUInt64LE(lm.DONE_INFO),
    start: bytes.readBigUInt64LE(lm.DONE_START),
    cycles: bytes.readUInt32LE(lm.DONE_CYCLES),
    beatsRead: bytes.readUInt32LE(lm.DONE_BEATS_READ),
    beatsWritten: bytes.readUInt32LE(lm.DONE_BEATS_WRITTEN),
    held: bytes.readUInt32LE(lm.DONE_HELD),
  };
}

export function opcodeName(opcode: number): string {
  return OPCODE_NAMES[opcode] ?? `opcode 0x${opcode.toString(16)}`;
}

export function statusText(status: number): string {
  return STATUS_TEXTS[status]?.text ?? `status ${status}`;
}

const FIELDS = Object.entries(lm).filter(([name]) => name.startsWith("DESC_"));

/** What `info` of a status means, for a message. */
export function explain(status: number, info: bigint): string {
  const hex = `0x${info.toString(16)}`;
  switch (status) {
    case lm.STATUS_WINDOW:
    case lm.STATUS_BUS:
      return `address ${hex}`;
    case lm.STATUS_ALIGNMENT:
    case lm.STATUS_SIZE:
    case lm.STATUS_FLAGS:
    case lm.STATUS_OVERLAP:
    case lm.STATUS_CHECK: {
      const field = FIELDS.find(([, offset]) => BigInt(offset) === info)?.[0];
      return `field ${field === undefined ? hex : field.slice(5).toLowerCase()}`;
    }
    case lm.STATUS_SEQUENCE:
      return `expected number ${info}`;
    case lm.STATUS_OPCODE:
      return `found ${hex}`;
    case lm.STATUS_FORMAT:
      return `${info} bits`;
    case lm.STATUS_RING:
      return `found ${hex}`;
    default:
      return "";
  }
}
