import { ssrRenderAttrs } from "vue/server-renderer";
import { useSSRContext } from "vue";
import { _ as _export_sfc } from "./plugin-vue_export-helper.1tPrXgE0.js";
const __pageData = JSON.parse('{"title":"A thread object was destroyed before its thread was joined","description":"","frontmatter":{},"headers":[],"relativePath":"diagnosis/joinable-thread-destroyed.md","filePath":"diagnosis/joinable-thread-destroyed.md"}');
const _sfc_main = { name: "diagnosis/joinable-thread-destroyed.md" };
function _sfc_ssrRender(_ctx, _push, _parent, _attrs, $props, $setup, $data, $options) {
  _push(`<div${ssrRenderAttrs(_attrs)}><h1 id="a-thread-object-was-destroyed-before-its-thread-was-joined" tabindex="-1">A thread object was destroyed before its thread was joined <a class="header-anchor" href="#a-thread-object-was-destroyed-before-its-thread-was-joined" aria-label="Permalink to &quot;A thread object was destroyed before its thread was joined&quot;">​</a></h1><p>C++ calls <code>std::terminate</code> when a <code>std::thread</code> is destroyed that is neither joined nor detached. A static one is destroyed at exit. The message is <code>terminate called without an active exception</code>. Qt does the same with a <code>QThread</code>: <code>QThread: Destroyed while thread is still running</code>.</p><h2 id="how-to-make-sure" tabindex="-1">How to make sure <a class="header-anchor" href="#how-to-make-sure" aria-label="Permalink to &quot;How to make sure&quot;">​</a></h2><p>The stack that died has <code>std::thread::~thread</code> or <code>std::terminate</code> under <code>__run_exit_handlers</code>. A call of <code>std::terminate()</code> prints the same, and the destructor is often compiled into its caller: where the stack doesn&#39;t decide, the report names <a href="./aborted">aborted</a> beside it.</p><h2 id="how-to-cure-it" tabindex="-1">How to cure it <a class="header-anchor" href="#how-to-cure-it" aria-label="Permalink to &quot;How to cure it&quot;">​</a></h2><p>Ask the thread to stop and join it before its object is destroyed. <code>std::jthread</code> joins by itself; a <code>QThread</code> needs <code>quit()</code> and <code>wait()</code>.</p></div>`);
}
const _sfc_setup = _sfc_main.setup;
_sfc_main.setup = (props, ctx) => {
  const ssrContext = useSSRContext();
  (ssrContext.modules || (ssrContext.modules = /* @__PURE__ */ new Set())).add("diagnosis/joinable-thread-destroyed.md");
  return _sfc_setup ? _sfc_setup(props, ctx) : void 0;
};
const joinableThreadDestroyed = /* @__PURE__ */ _export_sfc(_sfc_main, [["ssrRender", _sfc_ssrRender]]);
export {
  __pageData,
  joinableThreadDestroyed as default
};
