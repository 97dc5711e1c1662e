// What the units read from memory instead of building it: vector constants and dither rows.
import { allocateDither } from "./dither";
import { allocateExact } from "./exact";
import { allocateSilu } from "./silu";
import { allocateScan } from "./ssmu-groups";

/** Once, before the first unit works. */
export function allocateTables(): void {
  allocateExact();
  allocateSilu();
  allocateScan();
  allocateDither();
}
