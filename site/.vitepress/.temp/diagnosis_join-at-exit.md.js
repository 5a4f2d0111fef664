import { ssrRenderAttrs } from "vue/server-renderer";
import { useSSRContext } from "vue";
import { _ as _export_sfc } from "./plugin-vue_export-helper.1tPrXgE0.js";
const __pageData = JSON.parse('{"title":"The exit waits for a thread that does not end","description":"","frontmatter":{},"headers":[],"relativePath":"diagnosis/join-at-exit.md","filePath":"diagnosis/join-at-exit.md"}');
const _sfc_main = { name: "diagnosis/join-at-exit.md" };
function _sfc_ssrRender(_ctx, _push, _parent, _attrs, $props, $setup, $data, $options) {
  _push(`<div${ssrRenderAttrs(_attrs)}><h1 id="the-exit-waits-for-a-thread-that-does-not-end" tabindex="-1">The exit waits for a thread that does not end <a class="header-anchor" href="#the-exit-waits-for-a-thread-that-does-not-end" aria-label="Permalink to &quot;The exit waits for a thread that does not end&quot;">​</a></h1><p>The main thread is in its exit and joins a thread that never ends, or waits for a lock that is never released. The other thread waits for the main thread, or for the GIL that it holds; or nobody asked it to stop. The same holds where the main thread has ended by <code>pthread_exit</code>: the process ends with its last thread. Where the process has no other thread, or the exit waits for a child process, a sleep or a file, it is <a href="./blocked">blocked</a>.</p><h2 id="how-to-make-sure" tabindex="-1">How to make sure <a class="header-anchor" href="#how-to-make-sure" aria-label="Permalink to &quot;How to make sure&quot;">​</a></h2><p>Look at what the other threads&#39; stacks wait for. A thread in <code>take_gil</code> while the main one joins it is the usual pair.</p><h2 id="how-to-cure-it" tabindex="-1">How to cure it <a class="header-anchor" href="#how-to-cure-it" aria-label="Permalink to &quot;How to cure it&quot;">​</a></h2><ul><li>Release the GIL around the join.</li><li>The thread being joined must never wait for the main thread: hand results over by a queue and a wake-up that doesn&#39;t block.</li><li>Join with a bound, and report it when the bound passes.</li><li>In a native addon in Rust: <a href="./../cure-your-addon/">cure your addon</a>.</li></ul></div>`);
}
const _sfc_setup = _sfc_main.setup;
_sfc_main.setup = (props, ctx) => {
  const ssrContext = useSSRContext();
  (ssrContext.modules || (ssrContext.modules = /* @__PURE__ */ new Set())).add("diagnosis/join-at-exit.md");
  return _sfc_setup ? _sfc_setup(props, ctx) : void 0;
};
const joinAtExit = /* @__PURE__ */ _export_sfc(_sfc_main, [["ssrRender", _sfc_ssrRender]]);
export {
  __pageData,
  joinAtExit as default
};
