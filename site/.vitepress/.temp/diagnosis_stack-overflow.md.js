import { ssrRenderAttrs } from "vue/server-renderer";
import { useSSRContext } from "vue";
import { _ as _export_sfc } from "./plugin-vue_export-helper.1tPrXgE0.js";
const __pageData = JSON.parse('{"title":"A thread ran out of stack","description":"","frontmatter":{},"headers":[],"relativePath":"diagnosis/stack-overflow.md","filePath":"diagnosis/stack-overflow.md"}');
const _sfc_main = { name: "diagnosis/stack-overflow.md" };
function _sfc_ssrRender(_ctx, _push, _parent, _attrs, $props, $setup, $data, $options) {
  _push(`<div${ssrRenderAttrs(_attrs)}><h1 id="a-thread-ran-out-of-stack" tabindex="-1">A thread ran out of stack <a class="header-anchor" href="#a-thread-ran-out-of-stack" aria-label="Permalink to &quot;A thread ran out of stack&quot;">​</a></h1><p>A function called itself without end, directly or through others, or a frame is larger than what is left of the stack: a large array on the stack, or a thread that was created with a small one. The kernel ends the process with SIGSEGV; a Rust program prints <code>has overflowed its stack</code> and aborts.</p><p>The witness gives each thread a stack of its own for crashes, so that the report has the stack of such a thread, too.</p><h2 id="how-to-make-sure" tabindex="-1">How to make sure <a class="header-anchor" href="#how-to-make-sure" aria-label="Permalink to &quot;How to make sure&quot;">​</a></h2><ul><li><code>recursion of f</code>: the functions that call each other, innermost first.</li><li>Without a recursion the innermost frame is the large one, or the thread&#39;s stack is small (<code>pthread_attr_setstacksize</code>, <code>stackSize</code> of a thread pool; musl&#39;s default is 128 KiB).</li></ul><h2 id="how-to-cure-it" tabindex="-1">How to cure it <a class="header-anchor" href="#how-to-cure-it" aria-label="Permalink to &quot;How to cure it&quot;">​</a></h2><ul><li>End the recursion. A destructor or exit handler that causes what it handles is a common one.</li><li>Put large data on the heap.</li><li>Give the thread a larger stack.</li></ul></div>`);
}
const _sfc_setup = _sfc_main.setup;
_sfc_main.setup = (props, ctx) => {
  const ssrContext = useSSRContext();
  (ssrContext.modules || (ssrContext.modules = /* @__PURE__ */ new Set())).add("diagnosis/stack-overflow.md");
  return _sfc_setup ? _sfc_setup(props, ctx) : void 0;
};
const stackOverflow = /* @__PURE__ */ _export_sfc(_sfc_main, [["ssrRender", _sfc_ssrRender]]);
export {
  __pageData,
  stackOverflow as default
};
