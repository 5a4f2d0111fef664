import { ssrRenderAttrs } from "vue/server-renderer";
import { useSSRContext } from "vue";
import { _ as _export_sfc } from "./plugin-vue_export-helper.1tPrXgE0.js";
const __pageData = JSON.parse('{"title":"Something keeps the event loop alive","description":"","frontmatter":{},"headers":[],"relativePath":"diagnosis/event-loop-alive.md","filePath":"diagnosis/event-loop-alive.md"}');
const _sfc_main = { name: "diagnosis/event-loop-alive.md" };
function _sfc_ssrRender(_ctx, _push, _parent, _attrs, $props, $setup, $data, $options) {
  _push(`<div${ssrRenderAttrs(_attrs)}><h1 id="something-keeps-the-event-loop-alive" tabindex="-1">Something keeps the event loop alive <a class="header-anchor" href="#something-keeps-the-event-loop-alive" aria-label="Permalink to &quot;Something keeps the event loop alive&quot;">​</a></h1><p>The program never began to exit: its main thread waits in the event loop, which still has a timer, socket, worker or pending call. No native code crashed: somebody left a handle open.</p><h2 id="how-to-make-sure" tabindex="-1">How to make sure <a class="header-anchor" href="#how-to-make-sure" aria-label="Permalink to &quot;How to make sure&quot;">​</a></h2><p>In Node, <code>process.getActiveResourcesInfo()</code> names what it waits for.</p><h2 id="how-to-cure-it" tabindex="-1">How to cure it <a class="header-anchor" href="#how-to-cure-it" aria-label="Permalink to &quot;How to cure it&quot;">​</a></h2><p>Close the client or server, clear the timer, or <code>unref()</code> it if it must not keep the program alive.</p></div>`);
}
const _sfc_setup = _sfc_main.setup;
_sfc_main.setup = (props, ctx) => {
  const ssrContext = useSSRContext();
  (ssrContext.modules || (ssrContext.modules = /* @__PURE__ */ new Set())).add("diagnosis/event-loop-alive.md");
  return _sfc_setup ? _sfc_setup(props, ctx) : void 0;
};
const eventLoopAlive = /* @__PURE__ */ _export_sfc(_sfc_main, [["ssrRender", _sfc_ssrRender]]);
export {
  __pageData,
  eventLoopAlive as default
};
