/* The whole life of a cache, seen by a C program that knows cairn.h and libcairn.so only: open,
 * miss, store, hit, load, compare, release, close; then every way of calling it wrongly. */
#include <stdio.h>
#include <stdlib.h>

#include "cairn.h"

enum { BLOCK = 16, KV_PER_TOKEN = 64, STATE = 4096, TOKENS = 3 * BLOCK + 5, WAIT_MS = 5000 };

static int failures = 0;

static void Check(int holds, const char* what, int line) {
  if (!holds) {
    fprintf(stderr, "line %d: %s (last error: %s)\n", line, what, cairn_last_error());
    ++failures;
  }
}
#define CHECK(condition) Check((condition) ? 1 : 0, #condition, __LINE__)

/* The call must fail with `code`, and its message must have `text` in it. */
static void CheckFails(cairn_code got, cairn_code code, const char* text, int line) {
  if (got != code || strstr(cairn_last_error(), text) == NULL) {
    fprintf(stderr, "line %d: got %s: %s; wanted %s with '%s'\n", line, cairn_error_name(got),
            cairn_last_error(), cairn_error_name(code), text);
    ++failures;
  }
}
#define FAILS(call, code, text) CheckFails((call), (code), (text), __LINE__)
#define OK(call) CHECK((call) == CAIRN_OK)

/* Bytes that tell kind and position. */
static void Fill(unsigned char* bytes, size_t count, int32_t kind, uint32_t position) {
  size_t i;
  for (i = 0; i < count; ++i) {
    bytes[i] = (unsigned char)(i * 7 + position * 31 + (uint32_t)kind * 101);
  }
}

struct Setup {
  cairn_cache* cache;
  cairn_client* client;
  uint32_t name_space;
  uint32_t tokens[TOKENS];
};

static void Open(struct Setup* setup) {
  cairn_cache_options cache_options;
  cairn_client_options client_options;
  cairn_namespace_spec spec;
  uint32_t i;
  CAIRN_INIT(cache_options);
  cache_options.memory_bytes = 4 << 20;
  cache_options.no_huge_pages = 1;
  OK(cairn_cache_open(&cache_options, &setup->cache));
  CHECK(strcmp(cairn_cache_notice(setup->cache), "") == 0);
  CAIRN_INIT(client_options);
  client_options.cache = setup->cache;
  OK(cairn_client_open(&client_options, &setup->client));
  CHECK(strcmp(cairn_client_plane(setup->client), "none") == 0);
  OK(cairn_client_connect(setup->client, WAIT_MS));
  CHECK(strcmp(cairn_client_plane(setup->client), "embedded") == 0);
  CAIRN_INIT(spec);
  spec.model = "test";
  spec.block_tokens = BLOCK;
  spec.grid_tokens = 1;
  spec.kv_bytes_per_token = KV_PER_TOKEN;
  spec.checkpoint_bytes = STATE;
  OK(cairn_namespace_open(setup->client, &spec, WAIT_MS, &setup->name_space));
  for (i = 0; i < TOKENS; ++i) {
    setup->tokens[i] = 1000 + i;
  }
}

static void CloseAndCheckLeases(struct Setup* setup) {
  cairn_cache_stats stats;
  cairn_client_close(setup->client);
  CAIRN_INIT(stats);
  OK(cairn_cache_get_stats(setup->cache, &stats));
  CHECK(stats.leases == 0);
  CHECK(stats.reservations == 0);
  CHECK(stats.sessions == 0);
  CHECK(stats.checksum_failures == 0);
  cairn_cache_close(setup->cache);
}

static cairn_prompt* MakePrompt(struct Setup* setup, size_t token_count) {
  cairn_prompt* prompt = NULL;
  OK(cairn_prompt_make(setup->client, setup->name_space, 7, setup->tokens, token_count, &prompt));
  return prompt;
}

/* Three blocks and a tail of KV, and states at the end of block 2 and at the tail. */
static void Store(cairn_prompt* prompt, cairn_stored* stored, cairn_code* codes) {
  static unsigned char bytes[6][STATE];
  static const uint32_t positions[6] = {BLOCK, 2 * BLOCK, 2 * BLOCK, 3 * BLOCK, TOKENS, TOKENS};
  static const int32_t kinds[6] = {CAIRN_KIND_KV, CAIRN_KIND_KV, CAIRN_KIND_CHECKPOINT,
                                   CAIRN_KIND_KV, CAIRN_KIND_KV, CAIRN_KIND_CHECKPOINT};
  cairn_store_item items[6];
  size_t i;
  for (i = 0; i < 6; ++i) {
    const uint32_t start = (positions[i] - 1) / BLOCK * BLOCK;
    CAIRN_INIT(items[i]);
    items[i].kind = kinds[i];
    items[i].position = positions[i];
    items[i].data = bytes[i];
    items[i].bytes =
        kinds[i] == CAIRN_KIND_KV ? (uint64_t)(positions[i] - start) * KV_PER_TOKEN : STATE;
    Fill(bytes[i], STATE, kinds[i], positions[i]);
  }
  OK(cairn_store(prompt, items, 6, 0, WAIT_MS, stored, codes));
}

struct Memory {
  unsigned char bytes[16384];
  size_t used;
  int calls;
  cairn_object objects[8];
};

static void* Take(void* context, const cairn_object* object) {
  struct Memory* memory = context;
  void* const place = memory->bytes + memory->used;
  if (memory->used + object->bytes > sizeof(memory->bytes) || memory->calls == 8) {
    return NULL;
  }
  memory->objects[memory->calls++] = *object;
  memory->used += object->bytes;
  return place;
}

static void* Refuse(void* context, const cairn_object* object) {
  (void)context;
  (void)object;
  return NULL;
}

static void CheckBytes(const unsigned char* bytes, const cairn_object* object) {
  unsigned char expected[STATE];
  Fill(expected, object->bytes, object->kind, object->position);
  CHECK(memcmp(bytes, expected, object->bytes) == 0);
}

static void CheckLoads(cairn_hit* hit) {
  struct Memory memory = {0};
  cairn_loaded loaded;
  cairn_object object;
  size_t count = 0;
  size_t offset = 0;
  uint64_t total = 0;
  size_t i;
  void* buffers[8];
  size_t sizes[8];
  /* By callback, all of it. */
  CAIRN_INIT(loaded);
  OK(cairn_load(hit, 0, Take, &memory, WAIT_MS, &loaded));
  OK(cairn_hit_object_count(hit, 0, &count, &total));
  CHECK(loaded.objects == count && loaded.bytes == total && memory.used == total);
  CHECK(count == 5);
  for (i = 0; i < count; ++i) {
    CAIRN_INIT(object);
    OK(cairn_hit_object(hit, 0, i, &object));
    CHECK(object.kind == memory.objects[i].kind);
    CHECK(object.position == memory.objects[i].position);
    CHECK(object.tokens == memory.objects[i].tokens);
    CHECK(object.bytes == memory.objects[i].bytes);
    CheckBytes(memory.bytes + offset, &object);
    offset += object.bytes;
  }
  /* Into buffers, without the first two blocks, which the engine still has. */
  memset(&memory, 0, sizeof(memory));
  OK(cairn_hit_object_count(hit, 2 * BLOCK, &count, &total));
  CHECK(count == 3 && total == (BLOCK + 5) * KV_PER_TOKEN + STATE);
  offset = 0;
  for (i = 0; i < count; ++i) {
    CAIRN_INIT(object);
    OK(cairn_hit_object(hit, 2 * BLOCK, i, &object));
    buffers[i] = memory.bytes + offset;
    sizes[i] = object.bytes;
    offset += object.bytes;
  }
  OK(cairn_load_into(hit, 2 * BLOCK, buffers, sizes, count, WAIT_MS, NULL));
  for (i = 0; i < count; ++i) {
    CAIRN_INIT(object);
    OK(cairn_hit_object(hit, 2 * BLOCK, i, &object));
    CheckBytes(buffers[i], &object);
  }
  /* And wrongly. */
  FAILS(cairn_load(hit, 0, Refuse, NULL, WAIT_MS, NULL), CAIRN_NO_SPACE, "target");
  FAILS(cairn_load(hit, 0, NULL, NULL, WAIT_MS, NULL), CAIRN_INVALID_ARGUMENT, "target");
  FAILS(cairn_load(hit, 0, Take, &memory, 0, NULL), CAIRN_INVALID_ARGUMENT, "deadline_ms");
  FAILS(cairn_load(NULL, 0, Take, &memory, WAIT_MS, NULL), CAIRN_INVALID_ARGUMENT, "hit");
  FAILS(cairn_load_into(hit, 0, buffers, sizes, 3, WAIT_MS, NULL), CAIRN_INVALID_ARGUMENT, "count");
  sizes[1] -= 1;
  FAILS(cairn_load_into(hit, 2 * BLOCK, buffers, sizes, 3, WAIT_MS, NULL), CAIRN_INVALID_ARGUMENT,
        "sizes[1]");
  buffers[0] = NULL;
  FAILS(cairn_load_into(hit, 2 * BLOCK, buffers, sizes, 3, WAIT_MS, NULL), CAIRN_INVALID_ARGUMENT,
        "buffers[0]");
  FAILS(cairn_hit_object(hit, 0, 5, &object), CAIRN_INVALID_ARGUMENT, "index");
  loaded.struct_size = 8;
  FAILS(cairn_load(hit, 0, Take, &memory, WAIT_MS, &loaded), CAIRN_INVALID_ARGUMENT,
        "loaded.struct_size");
}

static void TestWholeCycle(void) {
  struct Setup setup;
  cairn_prompt* prompt;
  cairn_prompt* longer;
  cairn_hit* hit;
  cairn_hit_info info;
  cairn_boundary boundary;
  cairn_stored stored;
  cairn_code codes[6];
  cairn_observation observation;
  cairn_cache_stats stats;
  const uint32_t* plan;
  size_t count;
  uint8_t key[CAIRN_KEY_BYTES];
  uint8_t seed[CAIRN_KEY_BYTES];
  int i;
  uint32_t more[TOKENS + 4];
  Open(&setup);
  prompt = MakePrompt(&setup, TOKENS);

  /* A miss: nothing to resume from, but a plan. */
  OK(cairn_match(prompt, WAIT_MS, &hit));
  CAIRN_INIT(info);
  OK(cairn_hit_get_info(hit, &info));
  CHECK(info.resume_at == 0 && info.boundary_count == 0 && info.bytes == 0);
  CHECK(info.tier == CAIRN_TIER_NONE);
  plan = cairn_hit_plan(hit, &count);
  CHECK(count == 1 && count == info.plan_count && plan != NULL && plan[0] == TOKENS);
  OK(cairn_hit_object_count(hit, 0, &count, NULL));
  CHECK(count == 0);
  FAILS(cairn_load(hit, 0, Refuse, NULL, WAIT_MS, NULL), CAIRN_INVALID_ARGUMENT, "nothing to load");
  OK(cairn_hit_release(hit, WAIT_MS));
  cairn_hit_free(hit);

  CAIRN_INIT(stored);
  Store(prompt, &stored, codes);
  CHECK(stored.written == 6 && stored.present == 0 && stored.refused == 0);
  CHECK(stored.bytes == (uint64_t)TOKENS * KV_PER_TOKEN + 2 * STATE);
  for (i = 0; i < 6; ++i) {
    CHECK(codes[i] == CAIRN_OK);
  }
  Store(prompt, &stored, codes);
  CHECK(stored.written == 0 && stored.present == 6);
  CHECK(codes[0] == CAIRN_EXISTS);

  /* The same prompt resumes before its end, a longer one at it. */
  OK(cairn_match(prompt, WAIT_MS, &hit));
  OK(cairn_hit_get_info(hit, &info));
  CHECK(info.resume_at == 2 * BLOCK);
  OK(cairn_hit_release(hit, WAIT_MS));
  OK(cairn_hit_release(hit, WAIT_MS)); /* Again is no mistake. */
  FAILS(cairn_load(hit, 0, Refuse, NULL, WAIT_MS, NULL), CAIRN_INVALID_ARGUMENT, "nothing to load");
  cairn_hit_free(hit);

  memcpy(more, setup.tokens, sizeof(setup.tokens));
  memset(more + TOKENS, 0, 4 * sizeof(more[0]));
  OK(cairn_prompt_make(setup.client, setup.name_space, 8, more, TOKENS + 4, &longer));
  memset(more, 0xff, sizeof(more)); /* The prompt has a copy. */
  OK(cairn_match(longer, WAIT_MS, &hit));
  CAIRN_INIT(info);
  OK(cairn_hit_get_info(hit, &info));
  CHECK(info.resume_at == TOKENS && info.boundary_count == 2 && info.tier == CAIRN_TIER_HOST);
  CHECK(info.bytes == (uint64_t)TOKENS * KV_PER_TOKEN + STATE);
  CHECK(info.overlap_tokens == TOKENS);
  CAIRN_INIT(boundary);
  OK(cairn_hit_boundary(hit, 0, &boundary));
  CHECK(boundary.position == 2 * BLOCK && boundary.inside_block == 0);
  OK(cairn_hit_boundary(hit, 1, &boundary));
  CHECK(boundary.position == TOKENS && boundary.inside_block == 1);
  FAILS(cairn_hit_boundary(hit, 2, &boundary), CAIRN_INVALID_ARGUMENT, "2 boundaries");
  CAIRN_INIT(stats);
  OK(cairn_cache_get_stats(setup.cache, &stats));
  CHECK(stats.leases == 1 && stats.matches == 3 && stats.match_hits == 2);
  CheckLoads(hit);

  /* The shallower boundary instead. */
  OK(cairn_hit_choose(hit, 0));
  OK(cairn_hit_get_info(hit, &info));
  CHECK(info.resume_at == 2 * BLOCK);
  OK(cairn_hit_object_count(hit, 0, &count, NULL));
  CHECK(count == 3);
  {
    struct Memory memory = {0};
    OK(cairn_load(hit, 0, Take, &memory, WAIT_MS, NULL));
    CHECK(memory.calls == 3);
    CheckBytes(memory.bytes + 2 * BLOCK * KV_PER_TOKEN, &memory.objects[2]);
  }
  FAILS(cairn_hit_choose(hit, 9), CAIRN_INVALID_ARGUMENT, "index");

  CAIRN_INIT(observation);
  observation.prompt_tokens = TOKENS + 4;
  observation.overlap_tokens = TOKENS;
  observation.resumed_at = 2 * BLOCK;
  observation.gap_tokens = TOKENS - 2 * BLOCK;
  observation.recompute_us = 500;
  observation.tier = CAIRN_TIER_HOST;
  OK(cairn_observe(longer, &observation, WAIT_MS));
  observation.tier = 9;
  FAILS(cairn_observe(longer, &observation, WAIT_MS), CAIRN_INVALID_ARGUMENT, "observation.tier");

  /* Keys: position 0 is the seed, which both prompts share, like all keys up to the end. */
  OK(cairn_key_at(prompt, 0, seed));
  OK(cairn_key_at(longer, 0, key));
  CHECK(memcmp(seed, key, sizeof(key)) == 0);
  OK(cairn_key_at(prompt, TOKENS, seed));
  OK(cairn_key_at(longer, TOKENS, key));
  CHECK(memcmp(seed, key, sizeof(key)) == 0);
  OK(cairn_key_at(longer, TOKENS + 1, key));
  CHECK(memcmp(seed, key, sizeof(key)) != 0);
  FAILS(cairn_key_at(prompt, TOKENS + 1, key), CAIRN_INVALID_ARGUMENT, "position");

  /* Handles may be ended in any order; what they share ends with the last. */
  cairn_prompt_free(longer);
  OK(cairn_hit_release(hit, WAIT_MS));
  OK(cairn_cache_get_stats(setup.cache, &stats));
  CHECK(stats.leases == 0 && stats.gap_tokens == TOKENS - 2 * BLOCK);
  CHECK(stats.commits == 6 && stats.memory_used_bytes > 0);
  OK(cairn_cache_flush(setup.cache, WAIT_MS));
  cairn_hit_free(hit);
  cairn_prompt_free(prompt);
  CloseAndCheckLeases(&setup);
}

/* An engine that forgets to release, and ends things in the wrong order. */
static void TestHandlesOutliveWhatTheyCameFrom(void) {
  struct Setup setup;
  cairn_prompt* prompt;
  cairn_hit* hit;
  cairn_cache_stats stats;
  struct Memory memory = {0};
  Open(&setup);
  prompt = MakePrompt(&setup, TOKENS);
  Store(prompt, NULL, NULL);
  OK(cairn_match(prompt, WAIT_MS, &hit));
  cairn_prompt_free(prompt);
  cairn_client_close(setup.client);
  OK(cairn_load(hit, 0, Take, &memory, WAIT_MS, NULL));
  CHECK(memory.calls == 3);
  CAIRN_INIT(stats);
  OK(cairn_cache_get_stats(setup.cache, &stats));
  CHECK(stats.leases == 1 && stats.sessions == 1);
  cairn_hit_free(hit); /* The last of its client, whose leases end with it. */
  OK(cairn_cache_get_stats(setup.cache, &stats));
  CHECK(stats.leases == 0 && stats.sessions == 0);
  cairn_cache_close(setup.cache);
}

static void TestModels(void) {
  cairn_model model;
  cairn_namespace_spec spec;
  size_t count = 0;
  CAIRN_INIT(model);
  OK(cairn_model_load("qwen3.5-27b", 0, &model));
  CHECK(strcmp(model.id, "qwen3.5-27b") == 0);
  CHECK(strcmp(model.dtype, "kv=bf16,state=f32,conv=bf16") == 0);
  CHECK(model.checkpoint_bytes == 153944064 && model.kv_bytes_per_token == 65536);
  CHECK(model.tensor_parallel == 1);
  CAIRN_INIT(spec);
  spec.revision = "main";
  OK(cairn_namespace_from_model(&model, 512, &spec));
  CHECK(strcmp(spec.model, "qwen3.5-27b") == 0 && strcmp(spec.revision, "main") == 0);
  CHECK(spec.block_tokens == 512 && spec.checkpoint_bytes == model.checkpoint_bytes);
  CHECK(spec.tp_size == 1);
  OK(cairn_model_load("qwen3.5-27b", 2, &model));
  CHECK(model.kv_bytes_per_token == 32768 && model.tensor_parallel == 2);
  FAILS(cairn_model_load("qwen3.5-27", 0, &model), CAIRN_NOT_FOUND, "did you mean qwen3.5-27b?");
  FAILS(cairn_model_load("/nowhere/model.json", 0, &model), CAIRN_NOT_FOUND, "/nowhere/model.json");
  FAILS(cairn_model_load(NULL, 0, &model), CAIRN_INVALID_ARGUMENT, "id_or_path");
  FAILS(cairn_model_load("qwen3.5-27b", 0, NULL), CAIRN_INVALID_ARGUMENT, "model");
  FAILS(cairn_namespace_from_model(NULL, 512, &spec), CAIRN_INVALID_ARGUMENT, "model");
  FAILS(cairn_namespace_from_model(&model, 512, NULL), CAIRN_INVALID_ARGUMENT, "spec");
  while (cairn_model_preset(count) != NULL) {
    OK(cairn_model_load(cairn_model_preset(count), 0, &model));
    ++count;
  }
  CHECK(count >= 3);
}

/* The fidelity is in the keys. Programs of the first version, whose structs end before it, are
 * exact; nothing that is not exact is made so without a word. */
static void TestFidelity(void) {
  struct Setup setup;
  cairn_model model;
  cairn_namespace_spec spec;
  uint32_t number = 0;
  cairn_prompt* prompt = NULL;
  uint8_t keys[4][CAIRN_KEY_BYTES];
  int i;
  CAIRN_INIT(model);
  OK(cairn_model_load("qwen3.5-27b", 0, &model));
  CHECK(model.fidelity == CAIRN_FIDELITY_EXACT);
  CHECK(model.checkpoint_shape[0] == '\0' && model.kv_shape[0] == '\0');
  model.fidelity = CAIRN_FIDELITY_COMPACT;
  memcpy(model.checkpoint_shape, "f32[2304x128x128]", 18);
  CAIRN_INIT(spec);
  OK(cairn_namespace_from_model(&model, BLOCK, &spec));
  CHECK(spec.fidelity == CAIRN_FIDELITY_COMPACT);
  CHECK(strcmp(spec.checkpoint_shape, "f32[2304x128x128]") == 0);
  CHECK(strcmp(spec.kv_shape, "") == 0);
  Open(&setup);
  for (i = 0; i < 4; ++i) {
    spec.fidelity = i;
    if (i == 3) { /* Of the first version: what is behind is not looked at. */
      spec.struct_size = offsetof(cairn_namespace_spec, checkpoint_shape);
    }
    OK(cairn_namespace_open(setup.client, &spec, WAIT_MS, &number));
    OK(cairn_prompt_make(setup.client, number, 1, setup.tokens, BLOCK, &prompt));
    OK(cairn_key_at(prompt, BLOCK, keys[i]));
    cairn_prompt_free(prompt);
  }
  CHECK(memcmp(keys[0], keys[1], CAIRN_KEY_BYTES) != 0);
  CHECK(memcmp(keys[0], keys[2], CAIRN_KEY_BYTES) != 0);
  CHECK(memcmp(keys[1], keys[2], CAIRN_KEY_BYTES) != 0);
  CHECK(memcmp(keys[0], keys[3], CAIRN_KEY_BYTES) == 0);
  FAILS(cairn_namespace_from_model(&model, BLOCK, &spec), CAIRN_UNSUPPORTED, "not exact");
  memset(&model, 0x7f, sizeof(model));
  model.struct_size = offsetof(cairn_model, fidelity);
  OK(cairn_model_load("qwen3.5-27b", 0, &model));
  CHECK(model.fidelity == 0x7f7f7f7f && model.kv_shape[0] == 0x7f);
  OK(cairn_namespace_from_model(&model, BLOCK, &spec));
  CAIRN_INIT(spec);
  spec.fidelity = CAIRN_FIDELITY_COMPACT; /* Of another model, which is gone. */
  spec.kv_shape = "f16[1xtx8]";
  OK(cairn_namespace_from_model(&model, BLOCK, &spec));
  CHECK(spec.fidelity == CAIRN_FIDELITY_EXACT && spec.kv_shape == NULL);
  /* Wrongly. */
  spec.fidelity = 3;
  FAILS(cairn_namespace_open(setup.client, &spec, WAIT_MS, &number), CAIRN_UNSUPPORTED,
        "fidelity: 3");
  spec.fidelity = CAIRN_FIDELITY_COMPACT;
  spec.checkpoint_shape = "f32[2305x999x128]";
  FAILS(cairn_namespace_open(setup.client, &spec, WAIT_MS, &number), CAIRN_INVALID_ARGUMENT,
        "checkpoint_shape: covers");
  spec.checkpoint_shape = NULL;
  spec.reserved = 1;
  FAILS(cairn_namespace_open(setup.client, &spec, WAIT_MS, &number), CAIRN_INVALID_ARGUMENT,
        "reserved");
  CloseAndCheckLeases(&setup);
}

static void TestOptionsThatAreWrong(void) {
  cairn_cache_options cache_options;
  cairn_client_options options;
  cairn_cache* cache = NULL;
  cairn_client* client = NULL;
  CAIRN_INIT(cache_options);
  FAILS(cairn_cache_open(&cache_options, &cache), CAIRN_INVALID_ARGUMENT, "memory_bytes");
  cache_options.memory_bytes = 1 << 20;
  FAILS(cairn_cache_open(&cache_options, &cache), CAIRN_INVALID_ARGUMENT, "2MiB");
  cache_options.memory_bytes = 4 << 20;
  cache_options.ssd_bytes = 1 << 30;
  FAILS(cairn_cache_open(&cache_options, &cache), CAIRN_INVALID_ARGUMENT, "ssd_path");
  cache_options.ssd_bytes = 0;
  cache_options.ssd_codec = "zip";
  FAILS(cairn_cache_open(&cache_options, &cache), CAIRN_INVALID_ARGUMENT, "no codec 'zip'");
  cache_options.ssd_codec = NULL;
  cache_options.planner = "nonsense";
  FAILS(cairn_cache_open(&cache_options, &cache), CAIRN_INVALID_ARGUMENT, "nonsense");
  cache_options.planner = NULL;
  FAILS(cairn_cache_open(NULL, &cache), CAIRN_INVALID_ARGUMENT, "options");
  FAILS(cairn_cache_open(&cache_options, NULL), CAIRN_INVALID_ARGUMENT, "cache");
  cache_options.struct_size = 56;
  FAILS(cairn_cache_open(&cache_options, &cache), CAIRN_INVALID_ARGUMENT, "options.struct_size");
  cache_options.struct_size = (size_t)-1;
  FAILS(cairn_cache_open(&cache_options, &cache), CAIRN_INVALID_ARGUMENT, "options.struct_size");
  CHECK(cache == NULL);
  FAILS(cairn_cache_get_stats(NULL, NULL), CAIRN_INVALID_ARGUMENT, "cache");
  FAILS(cairn_cache_flush(NULL, WAIT_MS), CAIRN_INVALID_ARGUMENT, "cache");

  CAIRN_INIT(options);
  FAILS(cairn_client_open(&options, &client), CAIRN_INVALID_ARGUMENT, "endpoint, cache");
  options.endpoint = "nonsense";
  FAILS(cairn_client_open(&options, &client), CAIRN_INVALID_ARGUMENT, "endpoint: ");
  options.endpoint = "unix:/nowhere/cairn.sock";
  options.plane = 7;
  FAILS(cairn_client_open(&options, &client), CAIRN_INVALID_ARGUMENT, "plane: 7");
  options.plane = CAIRN_PLANE_SHM;
  options.reserved = 1;
  FAILS(cairn_client_open(&options, &client), CAIRN_INVALID_ARGUMENT, "reserved");
  options.reserved = 0;
  FAILS(cairn_client_open(&options, NULL), CAIRN_INVALID_ARGUMENT, "client");
  CHECK(client == NULL);
  OK(cairn_client_open(&options, &client));
  FAILS(cairn_client_connect(client, WAIT_MS), CAIRN_UNAVAILABLE, "");
  FAILS(cairn_client_connect(client, 0), CAIRN_INVALID_ARGUMENT, "deadline_ms");
  FAILS(cairn_client_connect(NULL, WAIT_MS), CAIRN_INVALID_ARGUMENT, "client");
  cairn_client_close(client);
}

static void TestMembersOfACluster(void) {
  cairn_client_options options;
  cairn_member member;
  cairn_client* client = NULL;
  CAIRN_INIT(options);
  CAIRN_INIT(member);
  options.endpoint = "a=unix:/nowhere/a.sock,a=unix:/nowhere/b.sock";
  FAILS(cairn_client_open(&options, &client), CAIRN_INVALID_ARGUMENT, "two are named 'a'");
  options.endpoint = "a=unix:/nowhere/a.sock,b=unix:/nowhere/b.sock";
  OK(cairn_client_open(&options, &client));
  OK(cairn_client_member(client, 1, &member));
  CHECK(strcmp(member.name, "b") == 0);
  CHECK(strcmp(member.endpoint, "unix:/nowhere/b.sock") == 0);
  CHECK(member.state == CAIRN_MEMBER_IDLE);
  CHECK(member.problem[0] == '\0');
  FAILS(cairn_client_member(client, 2, &member), CAIRN_NOT_FOUND, "knows 2 daemons");
  FAILS(cairn_client_connect(client, WAIT_MS), CAIRN_UNAVAILABLE, "can be used: a: ");
  OK(cairn_client_member(client, 0, &member));
  CHECK(member.state == CAIRN_MEMBER_DOWN);
  CHECK(strstr(member.problem, "no daemon at unix:/nowhere/a.sock") != NULL);
  member.struct_size = 8;
  FAILS(cairn_client_member(client, 0, &member), CAIRN_INVALID_ARGUMENT, "member.struct_size");
  FAILS(cairn_client_member(NULL, 0, &member), CAIRN_INVALID_ARGUMENT, "client");
  cairn_client_close(client);
}

/* A program compiled against a later header: known fields work, unknown ones must be zero. */
static void TestStructsOfALaterVersion(void) {
  struct {
    cairn_cache_options known;
    uint64_t later;
  } options;
  struct {
    cairn_cache_stats known;
    uint64_t later;
  } stats;
  cairn_cache* cache = NULL;
  memset(&options, 0, sizeof(options));
  options.known.struct_size = sizeof(options);
  options.known.memory_bytes = 4 << 20;
  options.later = 1;
  FAILS(cairn_cache_open(&options.known, &cache), CAIRN_UNSUPPORTED, "does not know");
  options.later = 0;
  OK(cairn_cache_open(&options.known, &cache));
  memset(&stats, 0xff, sizeof(stats));
  stats.known.struct_size = sizeof(stats);
  OK(cairn_cache_get_stats(cache, &stats.known));
  CHECK(stats.known.struct_size == sizeof(stats) && stats.known.leases == 0 && stats.later == 0);
  cairn_cache_close(cache);
}

static void TestCallsThatAreWrong(void) {
  struct Setup setup;
  cairn_namespace_spec spec;
  cairn_prompt* prompt = NULL;
  cairn_prompt* none = NULL;
  cairn_hit* hit = NULL;
  cairn_store_item items[2];
  cairn_stored stored;
  cairn_hit_info info;
  unsigned char state[STATE] = {0};
  uint32_t number = 0;
  size_t count = 1;
  Open(&setup);
  CAIRN_INIT(spec);
  FAILS(cairn_namespace_open(setup.client, &spec, WAIT_MS, &number), CAIRN_INVALID_ARGUMENT,
        "model");
  spec.model = "test";
  FAILS(cairn_namespace_open(setup.client, &spec, WAIT_MS, &number), CAIRN_INVALID_ARGUMENT,
        "block_tokens");
  spec.block_tokens = BLOCK;
  FAILS(cairn_namespace_open(setup.client, &spec, WAIT_MS, &number), CAIRN_INVALID_ARGUMENT,
        "nothing to cache");
  spec.checkpoint_bytes = STATE;
  FAILS(cairn_namespace_open(setup.client, &spec, 0, &number), CAIRN_INVALID_ARGUMENT,
        "deadline_ms");
  FAILS(cairn_namespace_open(setup.client, &spec, WAIT_MS, NULL), CAIRN_INVALID_ARGUMENT,
        "name_space");
  FAILS(cairn_namespace_open(setup.client, NULL, WAIT_MS, &number), CAIRN_INVALID_ARGUMENT, "spec");
  FAILS(cairn_namespace_open(NULL, &spec, WAIT_MS, &number), CAIRN_INVALID_ARGUMENT, "client");

  FAILS(cairn_prompt_make(setup.client, 99, 1, setup.tokens, 1, &none), CAIRN_INVALID_ARGUMENT,
        "name_space");
  FAILS(cairn_prompt_make(setup.client, setup.name_space, 1, setup.tokens, 0, &none),
        CAIRN_INVALID_ARGUMENT, "empty");
  FAILS(cairn_prompt_make(setup.client, setup.name_space, 1, NULL, 3, &none),
        CAIRN_INVALID_ARGUMENT, "tokens");
  FAILS(cairn_prompt_make(NULL, setup.name_space, 1, setup.tokens, 3, &none),
        CAIRN_INVALID_ARGUMENT, "client");
  FAILS(cairn_prompt_make(setup.client, setup.name_space, 1, setup.tokens, 3, NULL),
        CAIRN_INVALID_ARGUMENT, "prompt");
  CHECK(none == NULL);

  prompt = MakePrompt(&setup, TOKENS);
  FAILS(cairn_match(prompt, 0, &hit), CAIRN_INVALID_ARGUMENT, "deadline_ms");
  FAILS(cairn_match(NULL, WAIT_MS, &hit), CAIRN_INVALID_ARGUMENT, "prompt");
  FAILS(cairn_match(prompt, WAIT_MS, NULL), CAIRN_INVALID_ARGUMENT, "hit");
  CHECK(hit == NULL);
  FAILS(cairn_hit_release(NULL, WAIT_MS), CAIRN_INVALID_ARGUMENT, "hit");
  FAILS(cairn_hit_choose(NULL, 0), CAIRN_INVALID_ARGUMENT, "hit");
  FAILS(cairn_hit_object_count(NULL, 0, &count, NULL), CAIRN_INVALID_ARGUMENT, "hit");
  CAIRN_INIT(info);
  FAILS(cairn_hit_get_info(NULL, &info), CAIRN_INVALID_ARGUMENT, "hit");
  CHECK(cairn_hit_plan(NULL, &count) == NULL && count == 0);
  CHECK(cairn_hit_plan(NULL, NULL) == NULL);
  FAILS(cairn_key_at(NULL, 0, state), CAIRN_INVALID_ARGUMENT, "prompt");
  FAILS(cairn_key_at(prompt, 0, NULL), CAIRN_INVALID_ARGUMENT, "key");
  FAILS(cairn_observe(prompt, NULL, WAIT_MS), CAIRN_INVALID_ARGUMENT, "observation");
  OK(cairn_match(prompt, WAIT_MS, &hit));
  FAILS(cairn_hit_get_info(hit, NULL), CAIRN_INVALID_ARGUMENT, "info");
  info.struct_size = 0;
  FAILS(cairn_hit_get_info(hit, &info), CAIRN_INVALID_ARGUMENT, "info.struct_size");
  cairn_hit_free(hit);

  CAIRN_INIT(items[0]);
  CAIRN_INIT(items[1]);
  items[0].kind = items[1].kind = CAIRN_KIND_CHECKPOINT;
  items[0].position = items[1].position = BLOCK;
  items[0].data = items[1].data = state;
  items[0].bytes = items[1].bytes = STATE;
  FAILS(cairn_store(NULL, items, 1, 0, WAIT_MS, NULL, NULL), CAIRN_INVALID_ARGUMENT, "prompt");
  FAILS(cairn_store(prompt, NULL, 1, 0, WAIT_MS, NULL, NULL), CAIRN_INVALID_ARGUMENT, "items[0]");
  FAILS(cairn_store(prompt, items, 1, 0, 0, NULL, NULL), CAIRN_INVALID_ARGUMENT, "deadline_ms");
  items[1].bytes = STATE - 1;
  FAILS(cairn_store(prompt, items, 2, 0, WAIT_MS, NULL, NULL), CAIRN_INVALID_ARGUMENT,
        "bytes: 4095");
  items[1].position = TOKENS + 1;
  FAILS(cairn_store(prompt, items, 2, 0, WAIT_MS, NULL, NULL), CAIRN_INVALID_ARGUMENT, "position");
  items[1].data = NULL;
  FAILS(cairn_store(prompt, items, 2, 0, WAIT_MS, NULL, NULL), CAIRN_INVALID_ARGUMENT,
        "items[1].data");
  items[1].kind = 2;
  FAILS(cairn_store(prompt, items, 2, 0, WAIT_MS, NULL, NULL), CAIRN_INVALID_ARGUMENT,
        "items[1].kind");
  items[1].struct_size = 48;
  FAILS(cairn_store(prompt, items, 2, 0, WAIT_MS, NULL, NULL), CAIRN_INVALID_ARGUMENT,
        "items[1].struct_size");
  items[0].struct_size = 3;
  FAILS(cairn_store(prompt, items, 1, 0, WAIT_MS, NULL, NULL), CAIRN_INVALID_ARGUMENT,
        "items[0].struct_size");
  CAIRN_INIT(stored);
  OK(cairn_store(prompt, NULL, 0, 0, WAIT_MS, &stored, NULL));
  CHECK(stored.written == 0 && stored.bytes == 0);
  cairn_prompt_free(prompt);
  CloseAndCheckLeases(&setup);

  cairn_prompt_free(NULL);
  cairn_hit_free(NULL);
  cairn_client_close(NULL);
  cairn_cache_close(NULL);
  CHECK(strcmp(cairn_client_plane(NULL), "none") == 0);
  CHECK(strcmp(cairn_cache_notice(NULL), "") == 0);
}

int main(void) {
  CHECK(strcmp(cairn_last_error(), "") == 0);
  CHECK(cairn_abi_version() == CAIRN_ABI_VERSION);
  CHECK(strchr(cairn_version(), '.') != NULL);
  CHECK(strcmp(cairn_error_name(CAIRN_OK), "ok") == 0);
  CHECK(strcmp(cairn_error_name(CAIRN_INTERNAL), "internal") == 0);
  CHECK(strcmp(cairn_error_name(999), "unknown") == 0);
  TestWholeCycle();
  TestHandlesOutliveWhatTheyCameFrom();
  TestModels();
  TestFidelity();
  TestOptionsThatAreWrong();
  TestMembersOfACluster();
  TestStructsOfALaterVersion();
  TestCallsThatAreWrong();
  if (failures == 0) {
    printf("all checks hold\n");
  }
  return failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
