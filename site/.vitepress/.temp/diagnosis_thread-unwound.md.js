import { ssrRenderAttrs } from "vue/server-renderer";
import { useSSRContext } from "vue";
import { _ as _export_sfc } from "./plugin-vue_export-helper.1tPrXgE0.js";
const __pageData = JSON.parse('{"title":"A thread was ended by unwinding it","description":"","frontmatter":{},"headers":[],"relativePath":"diagnosis/thread-unwound.md","filePath":"diagnosis/thread-unwound.md"}');
const _sfc_main = { name: "diagnosis/thread-unwound.md" };
function _sfc_ssrRender(_ctx, _push, _parent, _attrs, $props, $setup, $data, $options) {
  _push(`<div${ssrRenderAttrs(_attrs)}><h1 id="a-thread-was-ended-by-unwinding-it" tabindex="-1">A thread was ended by unwinding it <a class="header-anchor" href="#a-thread-was-ended-by-unwinding-it" aria-label="Permalink to &quot;A thread was ended by unwinding it&quot;">​</a></h1><p><code>pthread_exit</code> and <code>pthread_cancel</code> end a thread by unwinding its stack, as an exception would. Rust frames and C++ <code>noexcept</code> functions forbid this, and a <code>catch (...)</code> that doesn&#39;t throw again stops it: the C++ runtime ends the process with <code>FATAL: exception not rethrown</code>, <code>terminate called after throwing an instance of &#39;&#39;</code> or without a message.</p><h2 id="how-to-make-sure" tabindex="-1">How to make sure <a class="header-anchor" href="#how-to-make-sure" aria-label="Permalink to &quot;How to make sure&quot;">​</a></h2><p>The stack of the thread that died has <code>_Unwind_ForcedUnwind</code>, <code>unwind_stop</code> or <code>unwind_cleanup</code>, and Python isn&#39;t in the process. If it is, or if that isn&#39;t known (for a child process), see <a href="./python-thread-unwound">Python ended a native thread</a>.</p><h2 id="how-to-cure-it" tabindex="-1">How to cure it <a class="header-anchor" href="#how-to-cure-it" aria-label="Permalink to &quot;How to cure it&quot;">​</a></h2><p>Ask the thread to stop and let it return from its function. If it has to be cancelled, let <code>abi::__forced_unwind</code> pass: catch it and throw it again, before any <code>catch (...)</code>.</p></div>`);
}
const _sfc_setup = _sfc_main.setup;
_sfc_main.setup = (props, ctx) => {
  const ssrContext = useSSRContext();
  (ssrContext.modules || (ssrContext.modules = /* @__PURE__ */ new Set())).add("diagnosis/thread-unwound.md");
  return _sfc_setup ? _sfc_setup(props, ctx) : void 0;
};
const threadUnwound = /* @__PURE__ */ _export_sfc(_sfc_main, [["ssrRender", _sfc_ssrRender]]);
export {
  __pageData,
  threadUnwound as default
};
