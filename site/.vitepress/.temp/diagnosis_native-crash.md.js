import { ssrRenderAttrs } from "vue/server-renderer";
import { useSSRContext } from "vue";
import { _ as _export_sfc } from "./plugin-vue_export-helper.1tPrXgE0.js";
const __pageData = JSON.parse('{"title":"Native code died, and no stack shows an exit","description":"","frontmatter":{},"headers":[],"relativePath":"diagnosis/native-crash.md","filePath":"diagnosis/native-crash.md"}');
const _sfc_main = { name: "diagnosis/native-crash.md" };
function _sfc_ssrRender(_ctx, _push, _parent, _attrs, $props, $setup, $data, $options) {
  _push(`<div${ssrRenderAttrs(_attrs)}><h1 id="native-code-died-and-no-stack-shows-an-exit" tabindex="-1">Native code died, and no stack shows an exit <a class="header-anchor" href="#native-code-died-and-no-stack-shows-an-exit" aria-label="Permalink to &quot;Native code died, and no stack shows an exit&quot;">​</a></h1><p>A thread died from a signal, and neither its stack nor the main thread&#39;s shows an exit. So the fault is probably not one of the exit, but an ordinary one in the library that the report names: a wild pointer, an assertion, an overflow.</p><h2 id="how-to-make-sure" tabindex="-1">How to make sure <a class="header-anchor" href="#how-to-make-sure" aria-label="Permalink to &quot;How to make sure&quot;">​</a></h2><ul><li>The report has the thread that died, and the library that its innermost code is in.</li><li>Let the program say when its <a href="./../tester#a-failure-at-work-and-a-failure-at-exit">work is done</a>: the report then says whether it failed before or after.</li><li>Run with <code>valgrind</code> or AddressSanitizer (see <a href="./#valgrind-and-sanitizers">Valgrind and sanitizers</a>).</li></ul><h2 id="how-to-cure-it" tabindex="-1">How to cure it <a class="header-anchor" href="#how-to-cure-it" aria-label="Permalink to &quot;How to cure it&quot;">​</a></h2><p>Report it to the library&#39;s authors, with the stack. If it dies only near the exit, it may be a thread that <a href="./thread-outlives-exit">outlives it</a> and was seen too early.</p></div>`);
}
const _sfc_setup = _sfc_main.setup;
_sfc_main.setup = (props, ctx) => {
  const ssrContext = useSSRContext();
  (ssrContext.modules || (ssrContext.modules = /* @__PURE__ */ new Set())).add("diagnosis/native-crash.md");
  return _sfc_setup ? _sfc_setup(props, ctx) : void 0;
};
const nativeCrash = /* @__PURE__ */ _export_sfc(_sfc_main, [["ssrRender", _sfc_ssrRender]]);
export {
  __pageData,
  nativeCrash as default
};
