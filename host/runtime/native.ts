/** The add-on of host/native: kernels with vectors wider than WebAssembly's, for the runtime's build "native". docs/performance.md. */
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { LightMambaError } from "../errors.ts";
import { packageRoot } from "../package.ts";

interface Kernels {
  /** What of this processor they use; null: it lacks what they need. */
  isa: string | null;
  attach(memory: Uint8Array): WebAssembly.ModuleImports;
}

let loaded: Kernels | undefined;

/** Where the build puts it: host/tools/setup.mjs. */
export function kernelsPath(): string {
  return join(packageRoot(), "build", "native", `${process.platform}-${process.arch}.node`);
}

/** Undefined where it was not built, cannot be loaded, or has no kernel for this processor: WebAssembly does without. */
export function nativeKernels(): Kernels | undefined {
  if (loaded === undefined && existsSync(kernelsPath())) {
    try {
      loaded = createRequire(import.meta.url)(kernelsPath()) as Kernels;
    } catch {
      return undefined;
    }
  }
  return loaded?.isa == null ? undefined : loaded;
}

/** The module `native` for an instance on this memory: assembly/native.ts. */
export function attachKernels(memory: WebAssembly.Memory): WebAssembly.ModuleImports {
  const kernels = nativeKernels();
  if (kernels !== undefined) return kernels.attach(new Uint8Array(memory.buffer));
  throw new LightMambaError("prerequisite", "there are no kernels for this processor", {
    file: kernelsPath(),
    expected: "the add-on, and a processor with AVX2",
    hint: "npm run build, which needs a C compiler, or --simd relaxed",
  });
}
