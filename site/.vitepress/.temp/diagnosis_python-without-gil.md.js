import { ssrRenderAttrs } from "vue/server-renderer";
import { useSSRContext } from "vue";
import { _ as _export_sfc } from "./plugin-vue_export-helper.1tPrXgE0.js";
const __pageData = JSON.parse('{"title":"Python was called without the GIL","description":"","frontmatter":{},"headers":[],"relativePath":"diagnosis/python-without-gil.md","filePath":"diagnosis/python-without-gil.md"}');
const _sfc_main = { name: "diagnosis/python-without-gil.md" };
function _sfc_ssrRender(_ctx, _push, _parent, _attrs, $props, $setup, $data, $options) {
  _push(`<div${ssrRenderAttrs(_attrs)}><h1 id="python-was-called-without-the-gil" tabindex="-1">Python was called without the GIL <a class="header-anchor" href="#python-was-called-without-the-gil" aria-label="Permalink to &quot;Python was called without the GIL&quot;">​</a></h1><p>A thread called Python&#39;s C API without holding the GIL, or was attached to another interpreter. The interpreter was running, so this isn&#39;t a failure of the exit: <code>Python runtime state: initialized</code> is printed below the error.</p><p>Python notices it in some functions only (<code>Fatal Python error: ... the function must be called with the GIL held</code>); bindings check <code>PyGILState_Check()</code> themselves. Else two threads change the same objects, and one of both dies somewhere in Python&#39;s code. A native thread in Python&#39;s code, called directly, while the interpreter runs, is reported so, with <code>native-crash</code> or <code>heap-corruption</code> beside it: it may also have held the GIL and passed what is broken.</p><h2 id="how-to-make-sure" tabindex="-1">How to make sure <a class="header-anchor" href="#how-to-make-sure" aria-label="Permalink to &quot;How to make sure&quot;">​</a></h2><ul><li>The stack of the thread that died names the function and its caller.</li><li>The main thread isn&#39;t in <code>Py_FinalizeEx</code> or <code>exit</code>. Where it is, see <a href="./python-after-finalization">a native thread called Python after finalization</a> and <a href="./crash-in-destructor">an exit handler or destructor</a>.</li></ul><h2 id="how-to-cure-it" tabindex="-1">How to cure it <a class="header-anchor" href="#how-to-cure-it" aria-label="Permalink to &quot;How to cure it&quot;">​</a></h2><p>Hold the GIL around the call (<code>PyGILState_Ensure</code> and <code>PyGILState_Release</code>, pyo3&#39;s <code>Python::attach</code>), and don&#39;t release it twice. Functions given to <code>ctypes.pythonapi</code> keep the GIL; those of <code>ctypes.CDLL</code> release it.</p></div>`);
}
const _sfc_setup = _sfc_main.setup;
_sfc_main.setup = (props, ctx) => {
  const ssrContext = useSSRContext();
  (ssrContext.modules || (ssrContext.modules = /* @__PURE__ */ new Set())).add("diagnosis/python-without-gil.md");
  return _sfc_setup ? _sfc_setup(props, ctx) : void 0;
};
const pythonWithoutGil = /* @__PURE__ */ _export_sfc(_sfc_main, [["ssrRender", _sfc_ssrRender]]);
export {
  __pageData,
  pythonWithoutGil as default
};
