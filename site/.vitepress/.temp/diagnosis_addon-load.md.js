import { ssrRenderAttrs } from "vue/server-renderer";
import { useSSRContext } from "vue";
import { _ as _export_sfc } from "./plugin-vue_export-helper.1tPrXgE0.js";
const __pageData = JSON.parse('{"title":"An addon died as it was loaded","description":"","frontmatter":{},"headers":[],"relativePath":"diagnosis/addon-load.md","filePath":"diagnosis/addon-load.md"}');
const _sfc_main = { name: "diagnosis/addon-load.md" };
function _sfc_ssrRender(_ctx, _push, _parent, _attrs, $props, $setup, $data, $options) {
  _push(`<div${ssrRenderAttrs(_attrs)}><h1 id="an-addon-died-as-it-was-loaded" tabindex="-1">An addon died as it was loaded <a class="header-anchor" href="#an-addon-died-as-it-was-loaded" aria-label="Permalink to &quot;An addon died as it was loaded&quot;">​</a></h1><p>The thread died in the addon&#39;s <code>napi_register_module_v1</code>, with which Node begins an addon. An addon that loads well in one thread may die when it is loaded again: in a worker, in a second worker, or in the main thread after a worker has ended. What it keeps in statics belongs to the first environment, or is half initialized.</p><h2 id="how-to-make-sure" tabindex="-1">How to make sure <a class="header-anchor" href="#how-to-make-sure" aria-label="Permalink to &quot;How to make sure&quot;">​</a></h2><ul><li>Load it once, in the main thread: if it dies there too, it doesn&#39;t fit this host or machine at all.</li><li>Load it in two workers, one after another, and then at once: the scenarios of <code>quiesce init &lt;module&gt;</code> do.</li></ul><h2 id="how-to-cure-it" tabindex="-1">How to cure it <a class="header-anchor" href="#how-to-cure-it" aria-label="Permalink to &quot;How to cure it&quot;">​</a></h2><ul><li>Keep state in instance data (<code>napi_set_instance_data</code>), one for each environment, never in statics. References to JavaScript values belong to one environment.</li><li>What must exist once in the process, initialize once (<code>std::call_once</code>, <code>OnceLock</code>). It must not matter which environment came first or has gone.</li><li>In an addon on napi-rs: <a href="./../cure-your-addon/napi-rs">cure a napi-rs addon</a>.</li></ul></div>`);
}
const _sfc_setup = _sfc_main.setup;
_sfc_main.setup = (props, ctx) => {
  const ssrContext = useSSRContext();
  (ssrContext.modules || (ssrContext.modules = /* @__PURE__ */ new Set())).add("diagnosis/addon-load.md");
  return _sfc_setup ? _sfc_setup(props, ctx) : void 0;
};
const addonLoad = /* @__PURE__ */ _export_sfc(_sfc_main, [["ssrRender", _sfc_ssrRender]]);
export {
  __pageData,
  addonLoad as default
};
