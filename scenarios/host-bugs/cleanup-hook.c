// An addon that prints when its env's cleanup hook runs. For exit-skips-cleanup-hooks.mjs.
#include <unistd.h>

int napi_add_env_cleanup_hook(void *env, void (*hook)(void *), void *argument);

static void say(void *unused) {
  (void)unused;
  static const char text[] = "cleanup hook\n";
  if (write(1, text, sizeof text - 1) < 0) return;
}

void *napi_register_module_v1(void *env, void *exports) {
  napi_add_env_cleanup_hook(env, say, 0);
  return exports;
}
