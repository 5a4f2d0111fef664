import { ssrRenderAttrs } from "vue/server-renderer";
import { useSSRContext } from "vue";
import { _ as _export_sfc } from "./plugin-vue_export-helper.1tPrXgE0.js";
const __pageData = JSON.parse('{"title":"A C++ exception that nobody caught","description":"","frontmatter":{},"headers":[],"relativePath":"diagnosis/uncaught-cxx-exception.md","filePath":"diagnosis/uncaught-cxx-exception.md"}');
const _sfc_main = { name: "diagnosis/uncaught-cxx-exception.md" };
function _sfc_ssrRender(_ctx, _push, _parent, _attrs, $props, $setup, $data, $options) {
  _push(`<div${ssrRenderAttrs(_attrs)}><h1 id="a-c-exception-that-nobody-caught" tabindex="-1">A C++ exception that nobody caught <a class="header-anchor" href="#a-c-exception-that-nobody-caught" aria-label="Permalink to &quot;A C++ exception that nobody caught&quot;">​</a></h1><p><code>std::terminate</code> was called with an exception in flight: nobody caught it, or it met a <code>noexcept</code> function.</p><h2 id="how-to-make-sure" tabindex="-1">How to make sure <a class="header-anchor" href="#how-to-make-sure" aria-label="Permalink to &quot;How to make sure&quot;">​</a></h2><p>Standard error names its type and <code>what()</code>.</p><h2 id="how-to-cure-it" tabindex="-1">How to cure it <a class="header-anchor" href="#how-to-cure-it" aria-label="Permalink to &quot;How to cure it&quot;">​</a></h2><p>Catch it where the thread starts or where the host calls in.</p></div>`);
}
const _sfc_setup = _sfc_main.setup;
_sfc_main.setup = (props, ctx) => {
  const ssrContext = useSSRContext();
  (ssrContext.modules || (ssrContext.modules = /* @__PURE__ */ new Set())).add("diagnosis/uncaught-cxx-exception.md");
  return _sfc_setup ? _sfc_setup(props, ctx) : void 0;
};
const uncaughtCxxException = /* @__PURE__ */ _export_sfc(_sfc_main, [["ssrRender", _sfc_ssrRender]]);
export {
  __pageData,
  uncaughtCxxException as default
};
