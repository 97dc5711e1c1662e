// Numbers of the contract (docs/numerics.md) and of the model directory (docs/format.md) that the runtime and the host share.
// Plain constants only: this file is compiled by AssemblyScript and by TypeScript.

/** Rows of a weight block: the row sums of one SIMD vector, the rows of one accelerator lane. */
export const BLOCK_ROWS = 8;
/** Inputs that share a weight scale, unless a model has groups of 16; what K is padded to. */
export const WEIGHT_GROUP = 32;
/** Inputs that share an A4 activation scale and zero point. */
export const ACTIVATION_GROUP = 16;
/** Inputs of a full weight frame: 64 bytes of scales, then 1024 bytes of 4-bit codes. The last frame of a block may be shorter. */
export const FRAME_INPUTS = 256;
/** Scale bytes of a frame with scales per 32 inputs; twice as many with scales per 16. */
export const FRAME_SCALE_BYTES = 64;
/** Bytes of codes of one weight group of a block: 8 rows × 32 inputs × 4 bits. */
export const GROUP_CODE_BYTES = 128;

/** Values of n that share a state exponent. */
export const STATE_GROUP = 16;
/** The token counter runs modulo this: a multiple of the dither's period 2^16 and of every conv ring length. */
export const TOKEN_MODULUS = 0xc0000000;

/** State exponents: the empty group, and the largest. */
export const STATE_EXPONENT_MIN = -64;
export const STATE_EXPONENT_MAX = 63;

/** z of a head follows x of the head this many places further, so that the SSM unit is never the tail. */
export const ROW_SKEW = 6;

/** Fraction bits with the same value in every model. */
export const LOGIT_FRACTION = 16;
export const Y_FRACTION = 12;
export const SILU_IN_FRACTION = 11;

/** Largest sizes that every container of the contract holds. */
export const MAX_K = 8192;
export const MAX_STATE = 512;
export const MAX_VOCAB = 1048576;

/** Alignment of every buffer and tensor that a DMA engine may read. */
export const BEAT_BYTES = 64;
