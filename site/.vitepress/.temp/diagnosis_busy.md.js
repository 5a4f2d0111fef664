import { ssrRenderAttrs } from "vue/server-renderer";
import { useSSRContext } from "vue";
import { _ as _export_sfc } from "./plugin-vue_export-helper.1tPrXgE0.js";
const __pageData = JSON.parse(`{"title":"A thread burns CPU and doesn't finish","description":"","frontmatter":{},"headers":[],"relativePath":"diagnosis/busy.md","filePath":"diagnosis/busy.md"}`);
const _sfc_main = { name: "diagnosis/busy.md" };
function _sfc_ssrRender(_ctx, _push, _parent, _attrs, $props, $setup, $data, $options) {
  _push(`<div${ssrRenderAttrs(_attrs)}><h1 id="a-thread-burns-cpu-and-doesn-t-finish" tabindex="-1">A thread burns CPU and doesn&#39;t finish <a class="header-anchor" href="#a-thread-burns-cpu-and-doesn-t-finish" aria-label="Permalink to &quot;A thread burns CPU and doesn&#39;t finish&quot;">​</a></h1><p>At the timeout the main thread didn&#39;t wait: it ran whenever it was looked at, over 0.3 s. The report marks the thread (&quot;burns CPU&quot;) and names the innermost functions.</p><h2 id="how-to-make-sure" tabindex="-1">How to make sure <a class="header-anchor" href="#how-to-make-sure" aria-label="Permalink to &quot;How to make sure&quot;">​</a></h2><ul><li>Run it again: a loop is in the same functions each time, and work that makes progress is in others.</li><li>Give a longer <code>--timeout</code>. A program that then ends was only <a href="./slow">slow</a>.</li></ul><h2 id="how-to-cure-it" tabindex="-1">How to cure it <a class="header-anchor" href="#how-to-cure-it" aria-label="Permalink to &quot;How to cure it&quot;">​</a></h2><p>A loop that waits for something (&quot;until the thread has gone&quot;) needs three things: the event must be possible, the wait must have a bound, and it must be a real wait, such as a condition variable or a join.</p></div>`);
}
const _sfc_setup = _sfc_main.setup;
_sfc_main.setup = (props, ctx) => {
  const ssrContext = useSSRContext();
  (ssrContext.modules || (ssrContext.modules = /* @__PURE__ */ new Set())).add("diagnosis/busy.md");
  return _sfc_setup ? _sfc_setup(props, ctx) : void 0;
};
const busy = /* @__PURE__ */ _export_sfc(_sfc_main, [["ssrRender", _sfc_ssrRender]]);
export {
  __pageData,
  busy as default
};
