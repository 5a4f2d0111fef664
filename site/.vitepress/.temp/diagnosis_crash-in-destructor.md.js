import { ssrRenderAttrs } from "vue/server-renderer";
import { useSSRContext } from "vue";
import { _ as _export_sfc } from "./plugin-vue_export-helper.1tPrXgE0.js";
const __pageData = JSON.parse('{"title":"It died in an exit handler or destructor","description":"","frontmatter":{},"headers":[],"relativePath":"diagnosis/crash-in-destructor.md","filePath":"diagnosis/crash-in-destructor.md"}');
const _sfc_main = { name: "diagnosis/crash-in-destructor.md" };
function _sfc_ssrRender(_ctx, _push, _parent, _attrs, $props, $setup, $data, $options) {
  _push(`<div${ssrRenderAttrs(_attrs)}><h1 id="it-died-in-an-exit-handler-or-destructor" tabindex="-1">It died in an exit handler or destructor <a class="header-anchor" href="#it-died-in-an-exit-handler-or-destructor" aria-label="Permalink to &quot;It died in an exit handler or destructor&quot;">​</a></h1><p>The main thread died within <code>exit</code>, in an exit handler or a static destructor; or a worker of Node did as its environment ended, in a cleanup hook or finalizer of an addon. The report names the library where it knows it, and says when that called <code>abort()</code> itself.</p><p>Often a handler used what was already gone: handlers run in the reverse order of their registration. So a handler that was registered before something that it needs finds that gone. What it prints as it dies (a Python error, a double free, a panic) shows the effect, not the cause. But a handler may also have a bug of its own. A C++ exception that leaves a handler is <a href="./uncaught-cxx-exception">uncaught-cxx-exception</a>.</p><h2 id="how-to-make-sure" tabindex="-1">How to make sure <a class="header-anchor" href="#how-to-make-sure" aria-label="Permalink to &quot;How to make sure&quot;">​</a></h2><p>The frames below <code>__run_exit_handlers</code>, <code>__cxa_finalize</code> or <code>_dl_fini</code> name the library.</p><h2 id="how-to-cure-it" tabindex="-1">How to cure it <a class="header-anchor" href="#how-to-cure-it" aria-label="Permalink to &quot;How to cure it&quot;">​</a></h2><ul><li>Don&#39;t do work in static destructors; leak what needs no clean-up.</li><li>Clean up explicitly, in the host&#39;s own exit hook, which runs while everything still exists.</li></ul></div>`);
}
const _sfc_setup = _sfc_main.setup;
_sfc_main.setup = (props, ctx) => {
  const ssrContext = useSSRContext();
  (ssrContext.modules || (ssrContext.modules = /* @__PURE__ */ new Set())).add("diagnosis/crash-in-destructor.md");
  return _sfc_setup ? _sfc_setup(props, ctx) : void 0;
};
const crashInDestructor = /* @__PURE__ */ _export_sfc(_sfc_main, [["ssrRender", _sfc_ssrRender]]);
export {
  __pageData,
  crashInDestructor as default
};
