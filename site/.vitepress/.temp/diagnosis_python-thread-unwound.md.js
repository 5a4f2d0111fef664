import { ssrRenderAttrs } from "vue/server-renderer";
import { useSSRContext } from "vue";
import { _ as _export_sfc } from "./plugin-vue_export-helper.1tPrXgE0.js";
const __pageData = JSON.parse('{"title":"Python ended a native thread by unwinding it","description":"","frontmatter":{},"headers":[],"relativePath":"diagnosis/python-thread-unwound.md","filePath":"diagnosis/python-thread-unwound.md"}');
const _sfc_main = { name: "diagnosis/python-thread-unwound.md" };
function _sfc_ssrRender(_ctx, _push, _parent, _attrs, $props, $setup, $data, $options) {
  _push(`<div${ssrRenderAttrs(_attrs)}><h1 id="python-ended-a-native-thread-by-unwinding-it" tabindex="-1">Python ended a native thread by unwinding it <a class="header-anchor" href="#python-ended-a-native-thread-by-unwinding-it" aria-label="Permalink to &quot;Python ended a native thread by unwinding it&quot;">​</a></h1><p>Up to Python 3.13, a thread that asks for the GIL after finalization is ended with <code>pthread_exit</code>. That unwinds its stack. Rust frames and C++ <code>noexcept</code> functions forbid this, and the process aborts: <code>FATAL: exception not rethrown</code>, <code>terminate called after throwing an instance of &#39;&#39;</code> (an exception without a type isn&#39;t a C++ one), <code>terminate called without an active exception</code>, or Rust&#39;s <code>Rust cannot catch foreign exceptions</code>. Where frames allow it, their destructors run; one that calls Python then does so without the GIL, and dies from SIGSEGV or <code>Fatal Python error</code>.</p><h2 id="how-to-make-sure" tabindex="-1">How to make sure <a class="header-anchor" href="#how-to-make-sure" aria-label="Permalink to &quot;How to make sure&quot;">​</a></h2><ul><li>The stack of the thread that died has <code>PyThread_exit_thread</code> or <code>pthread_exit</code>, or unwinding functions (<code>_Unwind_ForcedUnwind</code>, <code>unwind_stop</code>, <code>unwind_cleanup</code>). In a destructor nothing of that is left in the stack: the witness, which stands in front of <code>pthread_exit</code>, knows it. Where the witness doesn&#39;t know it, <code>terminate called without an active exception</code> in a background thread may also be <a href="./joinable-thread-destroyed">a std::thread that was not joined</a>.</li><li>Python 3.14 and newer block such a thread forever instead, so the same program may exit cleanly there.</li></ul><h2 id="how-to-cure-it" tabindex="-1">How to cure it <a class="header-anchor" href="#how-to-cure-it" aria-label="Permalink to &quot;How to cure it&quot;">​</a></h2><p>As for <a href="./python-after-finalization">a native thread that calls Python after finalization</a>: the thread must have ended before Python finalizes. <a href="./../cure-your-addon/pyo3">Cure a pyo3 addon</a> has the migration as a diff.</p></div>`);
}
const _sfc_setup = _sfc_main.setup;
_sfc_main.setup = (props, ctx) => {
  const ssrContext = useSSRContext();
  (ssrContext.modules || (ssrContext.modules = /* @__PURE__ */ new Set())).add("diagnosis/python-thread-unwound.md");
  return _sfc_setup ? _sfc_setup(props, ctx) : void 0;
};
const pythonThreadUnwound = /* @__PURE__ */ _export_sfc(_sfc_main, [["ssrRender", _sfc_ssrRender]]);
export {
  __pageData,
  pythonThreadUnwound as default
};
