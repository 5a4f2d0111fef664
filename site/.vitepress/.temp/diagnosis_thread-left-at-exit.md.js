import { ssrRenderAttrs } from "vue/server-renderer";
import { useSSRContext } from "vue";
import { _ as _export_sfc } from "./plugin-vue_export-helper.1tPrXgE0.js";
const __pageData = JSON.parse('{"title":"A background thread was never stopped","description":"","frontmatter":{},"headers":[],"relativePath":"diagnosis/thread-left-at-exit.md","filePath":"diagnosis/thread-left-at-exit.md"}');
const _sfc_main = { name: "diagnosis/thread-left-at-exit.md" };
function _sfc_ssrRender(_ctx, _push, _parent, _attrs, $props, $setup, $data, $options) {
  _push(`<div${ssrRenderAttrs(_attrs)}><h1 id="a-background-thread-was-never-stopped" tabindex="-1">A background thread was never stopped <a class="header-anchor" href="#a-background-thread-was-never-stopped" aria-label="Permalink to &quot;A background thread was never stopped&quot;">​</a></h1><p>The process ended as expected, but a thread of a library still ran when all exit handlers and destructors had run. Whether the process dies depends on what the thread does at that moment. This time nothing happened.</p><h2 id="how-to-make-sure" tabindex="-1">How to make sure <a class="header-anchor" href="#how-to-make-sure" aria-label="Permalink to &quot;How to make sure&quot;">​</a></h2><p><code>quiesce run</code> lists such threads with the library that started each; with <code>--strict</code> they make a run fail. Only the main process of the command is looked at: for <code>npm test</code>, run the program itself under <code>--strict</code>. Node&#39;s, Bun&#39;s and Deno&#39;s own threads don&#39;t count. A Python thread with <code>daemon=True</code> does.</p><p><code>--allow-thread NAME</code> (in a plan: <code>allowThreads: [NAME]</code>) allows a thread to be left. NAME is the thread&#39;s name, or the file name of the library that started it, or that of the runtime by which the library did; <code>*</code> stands for any text and <code>?</code> for any character.</p><p>Some pools can&#39;t be ended by the programs that use them, so <code>--strict</code> allows them:</p><table tabindex="0"><thead><tr><th>pool</th><th>why it stays</th></tr></thead><tbody><tr><td>jemalloc</td><td>it purges until the process has gone</td></tr><tr><td>OpenMP (libgomp, libomp, libiomp5)</td><td>it is kept for the next parallel region</td></tr><tr><td>OpenBLAS</td><td>it is kept for the next product</td></tr><tr><td>Polars, tokenizers</td><td>they are kept for the next call</td></tr></tbody></table><p>A pool that is linked into another library counts as that library&#39;s. jemalloc is known there by its threads&#39; name. rayon&#39;s global pool can&#39;t be ended either, but nothing tells its threads from others of the same library: name the library if it has no others.</p><h2 id="how-to-cure-it" tabindex="-1">How to cure it <a class="header-anchor" href="#how-to-cure-it" aria-label="Permalink to &quot;How to cure it&quot;">​</a></h2><ul><li>Close the client, session or pool that started it, if it can be closed.</li><li>In a library: own the thread, and signal and join it at the host&#39;s exit.</li><li>In a native addon in Rust: <a href="./../cure-your-addon/">cure your addon</a>.</li></ul></div>`);
}
const _sfc_setup = _sfc_main.setup;
_sfc_main.setup = (props, ctx) => {
  const ssrContext = useSSRContext();
  (ssrContext.modules || (ssrContext.modules = /* @__PURE__ */ new Set())).add("diagnosis/thread-left-at-exit.md");
  return _sfc_setup ? _sfc_setup(props, ctx) : void 0;
};
const threadLeftAtExit = /* @__PURE__ */ _export_sfc(_sfc_main, [["ssrRender", _sfc_ssrRender]]);
export {
  __pageData,
  threadLeftAtExit as default
};
