// rtl-build: top-p32-s4 top=lm_top PORTS=32 ACT_BITS=5 TOKENS=1 STATE_LANES=8 STATE_PORTS=4 PREFETCH=4096 MULTIPLIES=2
//
// The accelerator as boards/u280.yaml has it, for passes of one token: what a simulation can hold.
#include "accelerator.cpp"
