import { ssrRenderAttrs } from "vue/server-renderer";
import { useSSRContext } from "vue";
import { _ as _export_sfc } from "./plugin-vue_export-helper.1tPrXgE0.js";
const __pageData = JSON.parse('{"title":"A native thread called Python after finalization","description":"","frontmatter":{},"headers":[],"relativePath":"diagnosis/python-after-finalization.md","filePath":"diagnosis/python-after-finalization.md"}');
const _sfc_main = { name: "diagnosis/python-after-finalization.md" };
function _sfc_ssrRender(_ctx, _push, _parent, _attrs, $props, $setup, $data, $options) {
  _push(`<div${ssrRenderAttrs(_attrs)}><h1 id="a-native-thread-called-python-after-finalization" tabindex="-1">A native thread called Python after finalization <a class="header-anchor" href="#a-native-thread-called-python-after-finalization" aria-label="Permalink to &quot;A native thread called Python after finalization&quot;">​</a></h1><p>A background thread, mostly of a tokio runtime, called <code>PyGILState_Ensure</code>, <code>PyGILState_Release</code> or <code>PyEval_RestoreThread</code> (pyo3&#39;s <code>Python::with_gil</code> does) while the main thread ran <code>Py_FinalizeEx</code> or had run it. The interpreter&#39;s thread states are gone by then, and Python aborts: <code>Fatal Python error: PyGILState_Release</code>, or SIGSEGV. The same thread may also damage memory that the main thread then stumbles over, or meet pyo3&#39;s panic <code>The Python interpreter is not initialized</code>.</p><h2 id="how-to-make-sure" tabindex="-1">How to make sure <a class="header-anchor" href="#how-to-make-sure" aria-label="Permalink to &quot;How to make sure&quot;">​</a></h2><ul><li>The thread that died is not the main one, and its stack has one of those functions.</li><li>The main thread is in <code>Py_FinalizeEx</code>, <code>Py_RunMain</code> or <code>exit</code>.</li><li><code>quiesce run --strict</code> lists that thread as running at exit in every run, also the clean ones.</li></ul><h2 id="how-to-cure-it" tabindex="-1">How to cure it <a class="header-anchor" href="#how-to-cure-it" aria-label="Permalink to &quot;How to cure it&quot;">​</a></h2><ul><li>Own the runtime: keep its handle where the module can stop it, not in a <code>static</code>. Register a function with <code>atexit</code> that signals the runtime and joins its thread; Python runs <code>atexit</code> functions before it finalizes.</li><li>Release the GIL while joining (<code>Python::detach</code>, formerly <code>allow_threads</code>), or a thread that waits for the GIL blocks the join.</li><li>After stopping has begun, don&#39;t call Python: let pending futures end without a callback.</li><li>The crate <code>owned-runtime-pyo3</code> of this repository does this: <a href="./../cure-your-addon/pyo3">cure a pyo3 addon</a> has the migration as a diff. <code>time.sleep(0.1)</code> at the end of a program only makes it rarer.</li></ul></div>`);
}
const _sfc_setup = _sfc_main.setup;
_sfc_main.setup = (props, ctx) => {
  const ssrContext = useSSRContext();
  (ssrContext.modules || (ssrContext.modules = /* @__PURE__ */ new Set())).add("diagnosis/python-after-finalization.md");
  return _sfc_setup ? _sfc_setup(props, ctx) : void 0;
};
const pythonAfterFinalization = /* @__PURE__ */ _export_sfc(_sfc_main, [["ssrRender", _sfc_ssrRender]]);
export {
  __pageData,
  pythonAfterFinalization as default
};
