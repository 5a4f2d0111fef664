import { ssrRenderAttrs } from "vue/server-renderer";
import { useSSRContext } from "vue";
import { _ as _export_sfc } from "./plugin-vue_export-helper.1tPrXgE0.js";
const __pageData = JSON.parse('{"title":"Reference","description":"","frontmatter":{},"headers":[],"relativePath":"reference/index.md","filePath":"reference/README.md"}');
const _sfc_main = { name: "reference/index.md" };
function _sfc_ssrRender(_ctx, _push, _parent, _attrs, $props, $setup, $data, $options) {
  _push(`<div${ssrRenderAttrs(_attrs)}><h1 id="reference" tabindex="-1">Reference <a class="header-anchor" href="#reference" aria-label="Permalink to &quot;Reference&quot;">​</a></h1><table tabindex="0"><thead><tr><th>what</th><th>made from</th></tr></thead><tbody><tr><td><a href="/reference/quiesce/" target="_self"><code>quiesce</code></a></td><td>its types, by TypeDoc</td></tr><tr><td><a href="/reference/etcd/" target="_self"><code>@quiesce/etcd</code></a></td><td>its types, by TypeDoc</td></tr><tr><td><a href="/reference/rust/owned_runtime/" target="_self"><code>owned-runtime</code></a></td><td>its documentation, by rustdoc</td></tr><tr><td><a href="/reference/rust/owned_runtime_pyo3/" target="_self"><code>owned-runtime-pyo3</code></a></td><td>its documentation, by rustdoc</td></tr><tr><td><a href="/reference/rust/owned_runtime_napi/" target="_self"><code>owned-runtime-napi</code></a></td><td>its documentation, by rustdoc</td></tr></tbody></table><p><code>npm run docs</code> makes all of them, with this site, in <code>site/dist</code>.</p><ul><li>The command line and plans: <a href="./../options">options of the tester</a>. <a href="./../tester">The tester</a> says what outcomes, plans and exit codes mean.</li><li>The JSON report: <code>quiesce/report.schema.json</code>, in the package; plans: <code>quiesce/plan.schema.json</code>.</li><li>Transports, errors, deadlines of the etcd client: <a href="./../guide/">the guide</a>.</li></ul></div>`);
}
const _sfc_setup = _sfc_main.setup;
_sfc_main.setup = (props, ctx) => {
  const ssrContext = useSSRContext();
  (ssrContext.modules || (ssrContext.modules = /* @__PURE__ */ new Set())).add("reference/README.md");
  return _sfc_setup ? _sfc_setup(props, ctx) : void 0;
};
const README = /* @__PURE__ */ _export_sfc(_sfc_main, [["ssrRender", _sfc_ssrRender]]);
export {
  __pageData,
  README as default
};
