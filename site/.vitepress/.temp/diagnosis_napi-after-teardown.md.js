import { ssrRenderAttrs } from "vue/server-renderer";
import { useSSRContext } from "vue";
import { _ as _export_sfc } from "./plugin-vue_export-helper.1tPrXgE0.js";
const __pageData = JSON.parse('{"title":"An addon called Node-API after its environment was torn down","description":"","frontmatter":{},"headers":[],"relativePath":"diagnosis/napi-after-teardown.md","filePath":"diagnosis/napi-after-teardown.md"}');
const _sfc_main = { name: "diagnosis/napi-after-teardown.md" };
function _sfc_ssrRender(_ctx, _push, _parent, _attrs, $props, $setup, $data, $options) {
  _push(`<div${ssrRenderAttrs(_attrs)}><h1 id="an-addon-called-node-api-after-its-environment-was-torn-down" tabindex="-1">An addon called Node-API after its environment was torn down <a class="header-anchor" href="#an-addon-called-node-api-after-its-environment-was-torn-down" aria-label="Permalink to &quot;An addon called Node-API after its environment was torn down&quot;">​</a></h1><p>Node has torn down the environment (<code>process.exit()</code>, the natural end, or <code>worker.terminate()</code>), and the addon still called a <code>napi_</code> function: from a thread that runs on, from a destructor, or from a finalizer. Or a worker was terminated while it was in a call of the addon: from there on Node-API refuses every call (<code>napi_pending_exception</code>), and an addon that takes each for granted dies, by <code>FATAL ERROR: Error::ThrowAsJavaScriptException napi_throw</code> or by a Rust panic.</p><h2 id="how-to-make-sure" tabindex="-1">How to make sure <a class="header-anchor" href="#how-to-make-sure" aria-label="Permalink to &quot;How to make sure&quot;">​</a></h2><ul><li>Standard error has <code>FATAL ERROR: ... napi_...</code>, or the stack that died has a <code>napi_</code> function.</li><li>The main thread, or the worker&#39;s, is in <code>node::FreeEnvironment</code>, <code>node::Exit</code> or <code>exit</code>.</li></ul><h2 id="how-to-cure-it" tabindex="-1">How to cure it <a class="header-anchor" href="#how-to-cure-it" aria-label="Permalink to &quot;How to cure it&quot;">​</a></h2><ul><li>Register <code>napi_add_env_cleanup_hook</code>, and there stop and join whatever can still call back. Register it after the thread-safe function, so that it runs before Node takes that away.</li><li>Node runs no cleanup hooks when the main thread calls <code>process.exit()</code>: listen to <code>process.on(&#39;exit&#39;)</code> too.</li><li>Keep state in instance data (<code>napi_set_instance_data</code>), one for each environment, never in statics.</li><li>Release thread-safe functions with <code>napi_tsfn_abort</code> once stopping begins.</li><li>In an addon on napi-rs one line does all of this: <a href="./../cure-your-addon/napi-rs">cure a napi-rs addon</a>.</li></ul></div>`);
}
const _sfc_setup = _sfc_main.setup;
_sfc_main.setup = (props, ctx) => {
  const ssrContext = useSSRContext();
  (ssrContext.modules || (ssrContext.modules = /* @__PURE__ */ new Set())).add("diagnosis/napi-after-teardown.md");
  return _sfc_setup ? _sfc_setup(props, ctx) : void 0;
};
const napiAfterTeardown = /* @__PURE__ */ _export_sfc(_sfc_main, [["ssrRender", _sfc_ssrRender]]);
export {
  __pageData,
  napiAfterTeardown as default
};
