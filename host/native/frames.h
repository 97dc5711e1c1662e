/*
 * Weights as they lie in memory (docs/format.md, assembly/units/mmu.ts): a block is 8 rows, byte 2·row + (t & 1) of the 16-byte vector v of a group holds
 * input 4v + t, low nibble for t < 2; nibble = code + 8, and the +8 is taken back by `offset` = 8 · Σ codes of the vector's 16.
 */
#ifndef LM_FRAMES_H
#define LM_FRAMES_H

#include "kernels.h"
#include "vectors.h"

enum { FRAME_GROUPS = FRAME_INPUTS / GROUP };

/* Bytes of the scales of 32 inputs. */
static inline size_t scale_step(const struct lm_product* p) { return lm_scale_bytes(p) / FRAME_GROUPS; }

static inline int smaller(int x, int y) { return x < y ? x : y; }

/*
 * How a lane takes weight scales of four rows as pairs of u16, for a group's first 16 inputs and for its second. rows: of the lanes, 0 or 4 in turn
 * where `turn`, else `first` in all.
 */
static inline vec scale_index(int weight_group, int first, int turn) {
  uint8_t index[sizeof(vec)];
  const int second = weight_group == 16 ? BLOCK_ROWS : 0;
  for (int i = 0; i < (int)sizeof(vec); i++) {
    const int row = (turn ? 4 * (i / 16 % 2) : first) + i % 16 / 4;
    index[i] = i & 1 ? 128 : (uint8_t)(row + (i & 2 ? second : 0));
  }
  return load(index);
}

/* As factors of 16-bit dots: (sw · sa + half) >> productShift where activations are grouped, as a rounding multiplication. */
static inline vec factors(vec scales, vec sa, int grouped) {
  return grouped ? mulr16(OP(slli_epi16)(scales, 5), sa) : scales;
}

#endif
