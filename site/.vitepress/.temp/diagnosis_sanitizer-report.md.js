import { ssrRenderAttrs } from "vue/server-renderer";
import { useSSRContext } from "vue";
import { _ as _export_sfc } from "./plugin-vue_export-helper.1tPrXgE0.js";
const __pageData = JSON.parse('{"title":"A sanitizer reported","description":"","frontmatter":{},"headers":[],"relativePath":"diagnosis/sanitizer-report.md","filePath":"diagnosis/sanitizer-report.md"}');
const _sfc_main = { name: "diagnosis/sanitizer-report.md" };
function _sfc_ssrRender(_ctx, _push, _parent, _attrs, $props, $setup, $data, $options) {
  _push(`<div${ssrRenderAttrs(_attrs)}><h1 id="a-sanitizer-reported" tabindex="-1">A sanitizer reported <a class="header-anchor" href="#a-sanitizer-reported" aria-label="Permalink to &quot;A sanitizer reported&quot;">​</a></h1><p>AddressSanitizer, ThreadSanitizer, MemorySanitizer, LeakSanitizer or UndefinedBehaviorSanitizer printed a report.</p><h2 id="how-to-make-sure" tabindex="-1">How to make sure <a class="header-anchor" href="#how-to-make-sure" aria-label="Permalink to &quot;How to make sure&quot;">​</a></h2><p>The evidence has the report with two stacks: that of the access, and that of the thread that freed or raced.</p><h2 id="how-to-cure-it" tabindex="-1">How to cure it <a class="header-anchor" href="#how-to-cure-it" aria-label="Permalink to &quot;How to cure it&quot;">​</a></h2><p>Do what the report says. To cure a race between an exiting main thread and a background thread, stop the thread first.</p></div>`);
}
const _sfc_setup = _sfc_main.setup;
_sfc_main.setup = (props, ctx) => {
  const ssrContext = useSSRContext();
  (ssrContext.modules || (ssrContext.modules = /* @__PURE__ */ new Set())).add("diagnosis/sanitizer-report.md");
  return _sfc_setup ? _sfc_setup(props, ctx) : void 0;
};
const sanitizerReport = /* @__PURE__ */ _export_sfc(_sfc_main, [["ssrRender", _sfc_ssrRender]]);
export {
  __pageData,
  sanitizerReport as default
};
