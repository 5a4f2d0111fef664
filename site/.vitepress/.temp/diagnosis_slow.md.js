import { ssrRenderAttrs } from "vue/server-renderer";
import { useSSRContext } from "vue";
import { _ as _export_sfc } from "./plugin-vue_export-helper.1tPrXgE0.js";
const __pageData = JSON.parse('{"title":"It was only slow","description":"","frontmatter":{},"headers":[],"relativePath":"diagnosis/slow.md","filePath":"diagnosis/slow.md"}');
const _sfc_main = { name: "diagnosis/slow.md" };
function _sfc_ssrRender(_ctx, _push, _parent, _attrs, $props, $setup, $data, $options) {
  _push(`<div${ssrRenderAttrs(_attrs)}><h1 id="it-was-only-slow" tabindex="-1">It was only slow <a class="header-anchor" href="#it-was-only-slow" aria-label="Permalink to &quot;It was only slow&quot;">​</a></h1><p>A run was still there at the timeout, while clean runs of the same scenario took more than half of that time. So this run might have ended, too.</p><h2 id="how-to-make-sure" tabindex="-1">How to make sure <a class="header-anchor" href="#how-to-make-sure" aria-label="Permalink to &quot;How to make sure&quot;">​</a></h2><p>Raise <code>--timeout</code> well above the slowest clean run, which the report names. Then hangs remain, and slow runs are gone.</p><h2 id="how-to-cure-it" tabindex="-1">How to cure it <a class="header-anchor" href="#how-to-cure-it" aria-label="Permalink to &quot;How to cure it&quot;">​</a></h2><p>Allow the time that the program needs on a busy machine, and use fewer <code>--jobs</code>. Perturbed runs get more time by themselves.</p></div>`);
}
const _sfc_setup = _sfc_main.setup;
_sfc_main.setup = (props, ctx) => {
  const ssrContext = useSSRContext();
  (ssrContext.modules || (ssrContext.modules = /* @__PURE__ */ new Set())).add("diagnosis/slow.md");
  return _sfc_setup ? _sfc_setup(props, ctx) : void 0;
};
const slow = /* @__PURE__ */ _export_sfc(_sfc_main, [["ssrRender", _sfc_ssrRender]]);
export {
  __pageData,
  slow as default
};
