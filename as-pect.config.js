// Settings of the tests in assembly/__tests__ (`npm run test:wasm`).
export default {
  entries: ["assembly/__tests__/**/*.spec.ts"],
  include: ["assembly/__tests__/**/*.include.ts"],
  disclude: [/node_modules/],
  async instantiate(memory, createImports, instantiate, binary) {
    return instantiate(binary, createImports({ env: { memory } }));
  },
  // An empty list turns coverage off: its transform rewrites the kernels and multiplies the time.
  coverage: [],
  outputBinary: false,
};
