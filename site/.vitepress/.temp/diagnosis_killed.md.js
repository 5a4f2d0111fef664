import { ssrRenderAttrs } from "vue/server-renderer";
import { useSSRContext } from "vue";
import { _ as _export_sfc } from "./plugin-vue_export-helper.1tPrXgE0.js";
const __pageData = JSON.parse('{"title":"Killed from outside","description":"","frontmatter":{},"headers":[],"relativePath":"diagnosis/killed.md","filePath":"diagnosis/killed.md"}');
const _sfc_main = { name: "diagnosis/killed.md" };
function _sfc_ssrRender(_ctx, _push, _parent, _attrs, $props, $setup, $data, $options) {
  _push(`<div${ssrRenderAttrs(_attrs)}><h1 id="killed-from-outside" tabindex="-1">Killed from outside <a class="header-anchor" href="#killed-from-outside" aria-label="Permalink to &quot;Killed from outside&quot;">​</a></h1><p>SIGKILL comes from outside: from the kernel when memory ran out, from a container&#39;s limit, or from a supervisor.</p><h2 id="how-to-make-sure" tabindex="-1">How to make sure <a class="header-anchor" href="#how-to-make-sure" aria-label="Permalink to &quot;How to make sure&quot;">​</a></h2><p>Look in the kernel&#39;s log and the container&#39;s events.</p><h2 id="how-to-cure-it" tabindex="-1">How to cure it <a class="header-anchor" href="#how-to-cure-it" aria-label="Permalink to &quot;How to cure it&quot;">​</a></h2><p>Raise the limit or use less memory; fewer <code>--jobs</code> help too.</p></div>`);
}
const _sfc_setup = _sfc_main.setup;
_sfc_main.setup = (props, ctx) => {
  const ssrContext = useSSRContext();
  (ssrContext.modules || (ssrContext.modules = /* @__PURE__ */ new Set())).add("diagnosis/killed.md");
  return _sfc_setup ? _sfc_setup(props, ctx) : void 0;
};
const killed = /* @__PURE__ */ _export_sfc(_sfc_main, [["ssrRender", _sfc_ssrRender]]);
export {
  __pageData,
  killed as default
};
