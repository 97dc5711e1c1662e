// What the units read from memory instead of building it: vector constants and dither rows.
import { allocateExact } from "./exact";
import { allocateSilu } from "./silu";
import { allocateScan } from "./ssmu-scan";

/** Once, before the first unit works. */
export function allocateTables(): void {
  allocateExact();
  allocateSilu();
  allocateScan();
}
