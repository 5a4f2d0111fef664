import { ssrRenderAttrs } from "vue/server-renderer";
import { useSSRContext } from "vue";
import { _ as _export_sfc } from "./plugin-vue_export-helper.1tPrXgE0.js";
const __pageData = JSON.parse('{"title":"The process aborted itself","description":"","frontmatter":{},"headers":[],"relativePath":"diagnosis/aborted.md","filePath":"diagnosis/aborted.md"}');
const _sfc_main = { name: "diagnosis/aborted.md" };
function _sfc_ssrRender(_ctx, _push, _parent, _attrs, $props, $setup, $data, $options) {
  _push(`<div${ssrRenderAttrs(_attrs)}><h1 id="the-process-aborted-itself" tabindex="-1">The process aborted itself <a class="header-anchor" href="#the-process-aborted-itself" aria-label="Permalink to &quot;The process aborted itself&quot;">​</a></h1><p>Something called <code>abort()</code>: the program in its own language (<code>process.abort()</code>, <code>os.abort()</code>), or native code that printed no reason. Nothing shows that anything else had failed.</p><p>In an exit handler or destructor, native code that aborts is <a href="./crash-in-destructor">crash-in-destructor</a>. In a background thread while the process is taken down, it is <a href="./thread-outlives-exit">thread-outlives-exit</a>.</p><h2 id="how-to-make-sure" tabindex="-1">How to make sure <a class="header-anchor" href="#how-to-make-sure" aria-label="Permalink to &quot;How to make sure&quot;">​</a></h2><p>The frame below <code>abort</code> is the one that called it. Without gdb nobody knows where it was.</p><h2 id="how-to-cure-it" tabindex="-1">How to cure it <a class="header-anchor" href="#how-to-cure-it" aria-label="Permalink to &quot;How to cure it&quot;">​</a></h2><p>Find the condition before the call: a check, an assertion without a message, a <code>panic = &quot;abort&quot;</code> with its message suppressed, or <code>std::terminate()</code>.</p></div>`);
}
const _sfc_setup = _sfc_main.setup;
_sfc_main.setup = (props, ctx) => {
  const ssrContext = useSSRContext();
  (ssrContext.modules || (ssrContext.modules = /* @__PURE__ */ new Set())).add("diagnosis/aborted.md");
  return _sfc_setup ? _sfc_setup(props, ctx) : void 0;
};
const aborted = /* @__PURE__ */ _export_sfc(_sfc_main, [["ssrRender", _sfc_ssrRender]]);
export {
  __pageData,
  aborted as default
};
