{
  "targets": [
    {
      "target_name": "lm_dma",
      "sources": ["addon.c", "lm_cache.c", "lm_dma.c", "lm_error.c", "lm_memory.c", "lm_open.c", "lm_wait.c"],
      "defines": ["NAPI_VERSION=8", "_POSIX_C_SOURCE=200809L"],
      "cflags": ["-std=c11", "-O2", "-fPIC", "-Wall", "-Wextra", "-Wshadow", "-Werror", "-fvisibility=hidden"]
    }
  ]
}
