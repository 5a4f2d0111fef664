import { ssrRenderAttrs } from "vue/server-renderer";
import { useSSRContext } from "vue";
import { _ as _export_sfc } from "./plugin-vue_export-helper.1tPrXgE0.js";
const __pageData = JSON.parse('{"title":"A background thread ran while the process was taken down","description":"","frontmatter":{},"headers":[],"relativePath":"diagnosis/thread-outlives-exit.md","filePath":"diagnosis/thread-outlives-exit.md"}');
const _sfc_main = { name: "diagnosis/thread-outlives-exit.md" };
function _sfc_ssrRender(_ctx, _push, _parent, _attrs, $props, $setup, $data, $options) {
  _push(`<div${ssrRenderAttrs(_attrs)}><h1 id="a-background-thread-ran-while-the-process-was-taken-down" tabindex="-1">A background thread ran while the process was taken down <a class="header-anchor" href="#a-background-thread-ran-while-the-process-was-taken-down" aria-label="Permalink to &quot;A background thread ran while the process was taken down&quot;">​</a></h1><p><code>exit()</code> runs exit handlers and the destructors of static objects while other threads still run. A thread that uses one of those objects then uses freed memory. Or the thread was stopped while it held a lock that the exit needs, as happens to Python&#39;s daemon threads: <code>Fatal Python error: _enter_buffered_busy</code>.</p><h2 id="how-to-make-sure" tabindex="-1">How to make sure <a class="header-anchor" href="#how-to-make-sure" aria-label="Permalink to &quot;How to make sure&quot;">​</a></h2><ul><li>The thread that died is not the main one; the main one is in <code>exit</code>, <code>__run_exit_handlers</code>, <code>_dl_fini</code> or the host&#39;s finalization.</li><li>Without gdb the tester judges by the thread&#39;s name (threads such as <code>tokio-rt-worker</code> live as long as their library) or by what the program reported about its work, and names <a href="./native-crash">native-crash</a> with it.</li><li><code>quiesce run --strict</code> lists the thread in clean runs too.</li></ul><h2 id="how-to-cure-it" tabindex="-1">How to cure it <a class="header-anchor" href="#how-to-cure-it" aria-label="Permalink to &quot;How to cure it&quot;">​</a></h2><p>Stop and join the thread before the process exits: at the last <code>close()</code>, and in an exit handler of the host (<code>atexit</code> in Python, <code>process.on(&#39;exit&#39;)</code> in Node) for programs that never close.</p><p>In a native addon in Rust: <a href="./../cure-your-addon/">cure your addon</a>.</p></div>`);
}
const _sfc_setup = _sfc_main.setup;
_sfc_main.setup = (props, ctx) => {
  const ssrContext = useSSRContext();
  (ssrContext.modules || (ssrContext.modules = /* @__PURE__ */ new Set())).add("diagnosis/thread-outlives-exit.md");
  return _sfc_setup ? _sfc_setup(props, ctx) : void 0;
};
const threadOutlivesExit = /* @__PURE__ */ _export_sfc(_sfc_main, [["ssrRender", _sfc_ssrRender]]);
export {
  __pageData,
  threadOutlivesExit as default
};
