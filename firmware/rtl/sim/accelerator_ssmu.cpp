// rtl-build: top-ssmu top=lm_top PRESENT=11 STATE_LANES=1
// rtl-build: top-ssmu4 top=lm_top PRESENT=11 STATE_LANES=4 MAX_NORM_GROUP=16
// rtl-build: top-ssmu-s4 top=lm_top PRESENT=11 PORTS=5 STATE_LANES=8 STATE_PORTS=4
//
// The accelerator with COPY and SSM alone, for tests of the latter: lm_ssmu_unit with the fewest and the most lanes, and with
// parts of the state on four ports.
#include "accelerator.cpp"
