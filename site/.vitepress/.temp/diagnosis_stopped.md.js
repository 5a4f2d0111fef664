import { ssrRenderAttrs } from "vue/server-renderer";
import { useSSRContext } from "vue";
import { _ as _export_sfc } from "./plugin-vue_export-helper.1tPrXgE0.js";
const __pageData = JSON.parse('{"title":"A signal stopped the process","description":"","frontmatter":{},"headers":[],"relativePath":"diagnosis/stopped.md","filePath":"diagnosis/stopped.md"}');
const _sfc_main = { name: "diagnosis/stopped.md" };
function _sfc_ssrRender(_ctx, _push, _parent, _attrs, $props, $setup, $data, $options) {
  _push(`<div${ssrRenderAttrs(_attrs)}><h1 id="a-signal-stopped-the-process" tabindex="-1">A signal stopped the process <a class="header-anchor" href="#a-signal-stopped-the-process" aria-label="Permalink to &quot;A signal stopped the process&quot;">​</a></h1><p>SIGSTOP, SIGTSTP, SIGTTIN or SIGTTOU stopped the process, and nobody sent SIGCONT. The process did not run, so it could not exit.</p><h2 id="how-to-make-sure" tabindex="-1">How to make sure <a class="header-anchor" href="#how-to-make-sure" aria-label="Permalink to &quot;How to make sure&quot;">​</a></h2><p>The report marks the main thread as <code>stopped</code>; its stack shows where. A thread in <code>raise</code> or <code>kill</code> stopped its own process. A process that writes to its terminal or changes its modes from the background gets SIGTTOU; one that reads from it gets SIGTTIN.</p><h2 id="how-to-cure-it" tabindex="-1">How to cure it <a class="header-anchor" href="#how-to-cure-it" aria-label="Permalink to &quot;How to cure it&quot;">​</a></h2><ul><li>Send SIGCONT to a process that was stopped on purpose before it is to exit.</li><li>Don&#39;t read from <code>/dev/tty</code> or change its modes in a process that may run in the background.</li><li>A wrapper that stops a child must continue it before it ends.</li></ul></div>`);
}
const _sfc_setup = _sfc_main.setup;
_sfc_main.setup = (props, ctx) => {
  const ssrContext = useSSRContext();
  (ssrContext.modules || (ssrContext.modules = /* @__PURE__ */ new Set())).add("diagnosis/stopped.md");
  return _sfc_setup ? _sfc_setup(props, ctx) : void 0;
};
const stopped = /* @__PURE__ */ _export_sfc(_sfc_main, [["ssrRender", _sfc_ssrRender]]);
export {
  __pageData,
  stopped as default
};
