// An addon that exports a buffer over its own memory. For untransferable-external-buffer.mjs.
#include <stddef.h>

int napi_create_external_buffer(void *env, size_t length, void *data, void (*finalize)(void *, void *, void *), void *hint,
                                void **result);

static char memory[1 << 16];

static void nothing(void *env, void *data, void *hint) {
  (void)env, (void)data, (void)hint;
}

void *napi_register_module_v1(void *env, void *exports) {
  napi_create_external_buffer(env, sizeof memory, memory, nothing, 0, &exports);
  return exports;
}
