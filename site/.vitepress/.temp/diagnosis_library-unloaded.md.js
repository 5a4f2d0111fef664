import { ssrRenderAttrs } from "vue/server-renderer";
import { useSSRContext } from "vue";
import { _ as _export_sfc } from "./plugin-vue_export-helper.1tPrXgE0.js";
const __pageData = JSON.parse('{"title":"Code of a library was called after it had been unloaded","description":"","frontmatter":{},"headers":[],"relativePath":"diagnosis/library-unloaded.md","filePath":"diagnosis/library-unloaded.md"}');
const _sfc_main = { name: "diagnosis/library-unloaded.md" };
function _sfc_ssrRender(_ctx, _push, _parent, _attrs, $props, $setup, $data, $options) {
  _push(`<div${ssrRenderAttrs(_attrs)}><h1 id="code-of-a-library-was-called-after-it-had-been-unloaded" tabindex="-1">Code of a library was called after it had been unloaded <a class="header-anchor" href="#code-of-a-library-was-called-after-it-had-been-unloaded" aria-label="Permalink to &quot;Code of a library was called after it had been unloaded&quot;">​</a></h1><p>When a worker of Node ends, its environment closes (<code>dlclose</code>) the addons that it loaded. If no other thread has loaded the addon, its code leaves memory. Whatever still points there then kills the process: a destructor of thread-local data, which the C library calls at the thread&#39;s end (<code>__nptl_deallocate_tsd</code>), a thread that the addon left, or a callback. The same happens to any program that unloads a plug-in.</p><h2 id="how-to-make-sure" tabindex="-1">How to make sure <a class="header-anchor" href="#how-to-make-sure" aria-label="Permalink to &quot;How to make sure&quot;">​</a></h2><ul><li>The witness names the library: it sees each <code>dlclose</code>, and the address that was used is no longer mapped.</li><li>Without the witness, the stack that died begins with <code>??</code> without a library, and below it is <code>__nptl_deallocate_tsd</code> or <code>__call_tls_dtors</code>.</li><li>The failure goes when the main thread loads the addon too, before any worker does.</li></ul><h2 id="how-to-cure-it" tabindex="-1">How to cure it <a class="header-anchor" href="#how-to-cure-it" aria-label="Permalink to &quot;How to cure it&quot;">​</a></h2><ul><li>In the program, until the addon is cured: <code>require</code> it in the main thread first.</li><li>In the addon: keep it loaded. Link it with <code>-Wl,-z,nodelete</code>, or let it open itself with <code>dlopen(..., RTLD_NODELETE)</code>. In Rust, <code>println!(&quot;cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete&quot;)</code> in its <code>build.rs</code>.</li><li>Even so, stop and join the addon&#39;s own threads in the environment&#39;s cleanup hook: <a href="./../cure-your-addon/">cure your addon</a>.</li></ul></div>`);
}
const _sfc_setup = _sfc_main.setup;
_sfc_main.setup = (props, ctx) => {
  const ssrContext = useSSRContext();
  (ssrContext.modules || (ssrContext.modules = /* @__PURE__ */ new Set())).add("diagnosis/library-unloaded.md");
  return _sfc_setup ? _sfc_setup(props, ctx) : void 0;
};
const libraryUnloaded = /* @__PURE__ */ _export_sfc(_sfc_main, [["ssrRender", _sfc_ssrRender]]);
export {
  __pageData,
  libraryUnloaded as default
};
