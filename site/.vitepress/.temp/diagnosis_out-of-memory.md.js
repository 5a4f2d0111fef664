import { ssrRenderAttrs } from "vue/server-renderer";
import { useSSRContext } from "vue";
import { _ as _export_sfc } from "./plugin-vue_export-helper.1tPrXgE0.js";
const __pageData = JSON.parse('{"title":"Memory ran out","description":"","frontmatter":{},"headers":[],"relativePath":"diagnosis/out-of-memory.md","filePath":"diagnosis/out-of-memory.md"}');
const _sfc_main = { name: "diagnosis/out-of-memory.md" };
function _sfc_ssrRender(_ctx, _push, _parent, _attrs, $props, $setup, $data, $options) {
  _push(`<div${ssrRenderAttrs(_attrs)}><h1 id="memory-ran-out" tabindex="-1">Memory ran out <a class="header-anchor" href="#memory-ran-out" aria-label="Permalink to &quot;Memory ran out&quot;">​</a></h1><p>The heap of JavaScript reached its limit (<code>FATAL ERROR: ... JavaScript heap out of memory</code>), or an allocation of Rust failed (<code>memory allocation of N bytes failed</code>), or one of C++, and nobody caught its <code>std::bad_alloc</code>. The process then aborts. No library is to blame for the crash itself.</p><p>When the kernel&#39;s memory is exhausted, the kernel kills the process: that is <a href="./killed">killed</a>.</p><h2 id="how-to-make-sure" tabindex="-1">How to make sure <a class="header-anchor" href="#how-to-make-sure" aria-label="Permalink to &quot;How to make sure&quot;">​</a></h2><p>See what grows: <code>node --heapsnapshot-near-heap-limit=1</code>, or the &quot;Last few GCs&quot; that V8 prints.</p><h2 id="how-to-cure-it" tabindex="-1">How to cure it <a class="header-anchor" href="#how-to-cure-it" aria-label="Permalink to &quot;How to cure it&quot;">​</a></h2><p>Keep less, or raise the limit: <code>--max-old-space-size</code>, or <code>resourceLimits</code> of a worker.</p></div>`);
}
const _sfc_setup = _sfc_main.setup;
_sfc_main.setup = (props, ctx) => {
  const ssrContext = useSSRContext();
  (ssrContext.modules || (ssrContext.modules = /* @__PURE__ */ new Set())).add("diagnosis/out-of-memory.md");
  return _sfc_setup ? _sfc_setup(props, ctx) : void 0;
};
const outOfMemory = /* @__PURE__ */ _export_sfc(_sfc_main, [["ssrRender", _sfc_ssrRender]]);
export {
  __pageData,
  outOfMemory as default
};
