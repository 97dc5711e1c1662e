/** A matrix of the oracle as the host's, and back. */
import { type PackedMatrix, pack, paddedInputs, type QuantizedMatrix, type RowOrder } from "../../host/model/frames.ts";
import type { OracleLinear } from "../oracle/mmu.ts";

export function packLinear({ q, sw, rw }: OracleLinear, order: RowOrder): PackedMatrix {
  const [rows, inputs] = [q.length, q[0]!.length];
  const padded = paddedInputs(inputs);
  const codes = new Int8Array(rows * padded);
  q.forEach((row, r) => {
    codes.set(row, r * padded);
  });
  return pack(
    { rows, inputs, bits: 4, codes, scales: Uint8Array.from(sw.flat()), rowExponents: Int8Array.from(rw) },
    order,
  );
}

export function linearFrom({ rows, inputs, codes, scales, rowExponents }: QuantizedMatrix): OracleLinear {
  const padded = paddedInputs(inputs);
  const groups = padded / 32;
  const perRow = <T>(f: (row: number) => T) => Array.from({ length: rows }, (_, row) => f(row));
  return {
    q: perRow((row) => [...codes.subarray(row * padded, row * padded + inputs)]),
    sw: perRow((row) => [...scales.subarray(row * groups, (row + 1) * groups)]),
    rw: [...rowExponents],
  };
}
