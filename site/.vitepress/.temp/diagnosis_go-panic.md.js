import { ssrRenderAttrs } from "vue/server-renderer";
import { useSSRContext } from "vue";
import { _ as _export_sfc } from "./plugin-vue_export-helper.1tPrXgE0.js";
const __pageData = JSON.parse('{"title":"A Go panic","description":"","frontmatter":{},"headers":[],"relativePath":"diagnosis/go-panic.md","filePath":"diagnosis/go-panic.md"}');
const _sfc_main = { name: "diagnosis/go-panic.md" };
function _sfc_ssrRender(_ctx, _push, _parent, _attrs, $props, $setup, $data, $options) {
  _push(`<div${ssrRenderAttrs(_attrs)}><h1 id="a-go-panic" tabindex="-1">A Go panic <a class="header-anchor" href="#a-go-panic" aria-label="Permalink to &quot;A Go panic&quot;">​</a></h1><p>A goroutine panicked and nothing recovered it, or the Go runtime found an error that ends the program: a deadlock of all goroutines, a map that two of them write at a time. Go prints the reason and the goroutines, and ends the process with exit code 2, whichever goroutine it was.</p><h2 id="how-to-make-sure" tabindex="-1">How to make sure <a class="header-anchor" href="#how-to-make-sure" aria-label="Permalink to &quot;How to make sure&quot;">​</a></h2><p>Standard error has <code>panic: ...</code> or <code>fatal error: ...</code>, and after it <code>goroutine N [running]:</code> with the stack.</p><h2 id="how-to-cure-it" tabindex="-1">How to cure it <a class="header-anchor" href="#how-to-cure-it" aria-label="Permalink to &quot;How to cure it&quot;">​</a></h2><p>The first goroutine of the output is the one that panicked. At exit this is often a send on a channel that <code>main</code> has closed, or the use of a connection or a file after its <code>defer ... .Close()</code>. Let <code>main</code> wait for its goroutines, as with <code>sync.WaitGroup</code>, before it closes what they use. <code>GOTRACEBACK=all</code> prints all goroutines.</p></div>`);
}
const _sfc_setup = _sfc_main.setup;
_sfc_main.setup = (props, ctx) => {
  const ssrContext = useSSRContext();
  (ssrContext.modules || (ssrContext.modules = /* @__PURE__ */ new Set())).add("diagnosis/go-panic.md");
  return _sfc_setup ? _sfc_setup(props, ctx) : void 0;
};
const goPanic = /* @__PURE__ */ _export_sfc(_sfc_main, [["ssrRender", _sfc_ssrRender]]);
export {
  __pageData,
  goPanic as default
};
