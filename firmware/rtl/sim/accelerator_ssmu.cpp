// rtl-build: top-ssmu top=lm_top PRESENT=11 STATE_LANES=1
// rtl-build: top-ssmu4 top=lm_top PRESENT=11 STATE_LANES=4 MAX_NORM_GROUP=16
//
// The accelerator with COPY and SSM alone, for tests of the latter: lm_ssmu_unit with the fewest and the most lanes.
#include "accelerator.cpp"
