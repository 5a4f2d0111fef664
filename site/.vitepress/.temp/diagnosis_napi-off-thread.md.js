import { ssrRenderAttrs } from "vue/server-renderer";
import { useSSRContext } from "vue";
import { _ as _export_sfc } from "./plugin-vue_export-helper.1tPrXgE0.js";
const __pageData = JSON.parse('{"title":"A thread without an environment called Node-API","description":"","frontmatter":{},"headers":[],"relativePath":"diagnosis/napi-off-thread.md","filePath":"diagnosis/napi-off-thread.md"}');
const _sfc_main = { name: "diagnosis/napi-off-thread.md" };
function _sfc_ssrRender(_ctx, _push, _parent, _attrs, $props, $setup, $data, $options) {
  _push(`<div${ssrRenderAttrs(_attrs)}><h1 id="a-thread-without-an-environment-called-node-api" tabindex="-1">A thread without an environment called Node-API <a class="header-anchor" href="#a-thread-without-an-environment-called-node-api" aria-label="Permalink to &quot;A thread without an environment called Node-API&quot;">​</a></h1><p>Node-API may be called by the thread that an environment belongs to: the main thread, or a worker&#39;s. An addon&#39;s own thread called it, while the program ran. It may work for a while: the call corrupts the heap, or dies later, as with <code>Cannot create a handle without a HandleScope</code>.</p><h2 id="how-to-make-sure" tabindex="-1">How to make sure <a class="header-anchor" href="#how-to-make-sure" aria-label="Permalink to &quot;How to make sure&quot;">​</a></h2><p>The stack of the thread that died has <code>napi_...</code> called by the addon, and below that nothing of Node: no <code>uv_run</code>, no <code>node::worker</code>. Without gdb it may also be <a href="./napi-after-teardown">a call after its environment was torn down</a>.</p><h2 id="how-to-cure-it" tabindex="-1">How to cure it <a class="header-anchor" href="#how-to-cure-it" aria-label="Permalink to &quot;How to cure it&quot;">​</a></h2><ul><li>Send the result to the thread that owns the environment: a thread-safe function (<code>napi_call_threadsafe_function</code>, <code>ThreadsafeFunction</code> of napi-rs).</li><li>Of async work (<code>napi_create_async_work</code>) only the <code>complete</code> callback may call Node-API, not <code>execute</code>.</li></ul></div>`);
}
const _sfc_setup = _sfc_main.setup;
_sfc_main.setup = (props, ctx) => {
  const ssrContext = useSSRContext();
  (ssrContext.modules || (ssrContext.modules = /* @__PURE__ */ new Set())).add("diagnosis/napi-off-thread.md");
  return _sfc_setup ? _sfc_setup(props, ctx) : void 0;
};
const napiOffThread = /* @__PURE__ */ _export_sfc(_sfc_main, [["ssrRender", _sfc_ssrRender]]);
export {
  __pageData,
  napiOffThread as default
};
