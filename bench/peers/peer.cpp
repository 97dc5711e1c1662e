// llama.cpp on given token ids: no tokenizer and no sampler of its own takes part.
//
//   peer logits MODEL IDS OUT THREADS            logits of every token, as FP32 rows
//   peer speed  MODEL IDS THREADS PREFILL DECODE JSON: tokens a second of either phase
//
// IDS is a file of 32-bit integers.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "llama.h"

static const int CHUNK = 128;

[[noreturn]] static void fail(const std::string & what) {
    fprintf(stderr, "peer: %s\n", what.c_str());
    exit(1);
}

static void log_faults(ggml_log_level level, const char * text, void *) {
    if (level == GGML_LOG_LEVEL_ERROR) fputs(text, stderr);
}

static std::vector<llama_token> read_ids(const char * path) {
    FILE * file = fopen(path, "rb");
    if (!file) fail(std::string("cannot read ") + path);
    std::vector<llama_token> ids;
    for (llama_token id; fread(&id, sizeof id, 1, file) == 1;) ids.push_back(id);
    fclose(file);
    return ids;
}

// `batch` is the most tokens of one call; a recurrent model keeps its state from one to the next.
static llama_context * open_model(const char * path, int tokens, int batch, int threads) {
    llama_model_params of_model = llama_model_default_params();
    of_model.n_gpu_layers = 0;
    llama_model * model = llama_model_load_from_file(path, of_model);
    if (!model) fail(std::string("cannot load ") + path);
    llama_context_params of_context = llama_context_default_params();
    of_context.n_ctx = tokens;
    of_context.n_batch = of_context.n_ubatch = batch;
    of_context.n_threads = of_context.n_threads_batch = threads;
    llama_context * context = llama_init_from_model(model, of_context);
    if (!context) fail("cannot make a context");
    return context;
}

// Logits of all tokens, or of the last only.
static void feed(llama_context * context, const llama_token * ids, int count, int position, bool all) {
    llama_batch batch = llama_batch_init(count, 0, 1);
    batch.n_tokens = count;
    for (int i = 0; i < count; i++) {
        batch.token[i] = ids[i];
        batch.pos[i] = position + i;
        batch.n_seq_id[i] = 1;
        batch.seq_id[i][0] = 0;
        batch.logits[i] = all || i == count - 1;
    }
    if (llama_decode(context, batch) != 0) fail("llama_decode failed");
    llama_batch_free(batch);
}

static void write_logits(const char * model, const std::vector<llama_token> & ids, const char * out, int threads) {
    const int total = (int) ids.size();
    llama_context * context = open_model(model, total, CHUNK, threads);
    const size_t columns = llama_vocab_n_tokens(llama_model_get_vocab(llama_get_model(context)));
    FILE * file = fopen(out, "wb");
    if (!file) fail(std::string("cannot write ") + out);
    for (int start = 0; start < total; start += CHUNK) {
        const int count = std::min(CHUNK, total - start);
        feed(context, &ids[start], count, start, true);
        for (int i = 0; i < count; i++) {
            if (fwrite(llama_get_logits_ith(context, i), sizeof(float), columns, file) != columns) fail("disk full?");
        }
    }
    if (fclose(file) != 0) fail("disk full?");
}

static double seconds_of(llama_context * context, const llama_token * ids, int count, int position, int step) {
    const auto begin = std::chrono::steady_clock::now();
    for (int i = 0; i < count; i += step) feed(context, ids + i, std::min(step, count - i), position + i, false);
    llama_synchronize(context);
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

static void write_speed(const char * model, const std::vector<llama_token> & ids, int threads, int prefill, int decode) {
    if ((int) ids.size() < prefill + decode) fail("too few ids");
    llama_context * context = open_model(model, prefill + decode, std::max(prefill, 1), threads);
    double first = 0, second = 0;
    // The first round warms up.
    for (int round = 0; round < 2; round++) {
        llama_memory_clear(llama_get_memory(context), true);
        first = seconds_of(context, ids.data(), prefill, 0, prefill);
        second = seconds_of(context, &ids[prefill], decode, prefill, 1);
    }
    printf("{\"prefill\":%.3f,\"decode\":%.3f,\"features\":\"%s\"}\n", prefill / first, decode / second, llama_print_system_info());
}

int main(int argc, char ** argv) {
    llama_log_set(log_faults, nullptr);
    llama_backend_init();
    const std::string verb = argc > 1 ? argv[1] : "";
    if (verb == "logits" && argc == 6) write_logits(argv[2], read_ids(argv[3]), argv[4], atoi(argv[5]));
    else if (verb == "speed" && argc == 7) write_speed(argv[2], read_ids(argv[3]), atoi(argv[4]), atoi(argv[5]), atoi(argv[6]));
    else fail("usage: peer logits MODEL IDS OUT THREADS | peer speed MODEL IDS THREADS PREFILL DECODE");
    return 0;
}
