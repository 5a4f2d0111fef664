import { ssrRenderAttrs } from "vue/server-renderer";
import { useSSRContext } from "vue";
import { _ as _export_sfc } from "./plugin-vue_export-helper.1tPrXgE0.js";
const __pageData = JSON.parse('{"title":"A Rust panic","description":"","frontmatter":{},"headers":[],"relativePath":"diagnosis/rust-panic.md","filePath":"diagnosis/rust-panic.md"}');
const _sfc_main = { name: "diagnosis/rust-panic.md" };
function _sfc_ssrRender(_ctx, _push, _parent, _attrs, $props, $setup, $data, $options) {
  _push(`<div${ssrRenderAttrs(_attrs)}><h1 id="a-rust-panic" tabindex="-1">A Rust panic <a class="header-anchor" href="#a-rust-panic" aria-label="Permalink to &quot;A Rust panic&quot;">​</a></h1><p>Rust code panicked. If the process aborted, nothing could catch the panic: in a thread whose panic aborts, in a destructor during another panic, or at an <code>extern &quot;C&quot;</code> boundary. If the program went on, a thread ended by the panic, or something caught it. If that is as it should be, leave the line out with <code>--ignore-output</code>. At exit this is often a <code>send</code> to a closed channel or a use of a thread-local that was destroyed, with <code>unwrap</code>.</p><h2 id="how-to-make-sure" tabindex="-1">How to make sure <a class="header-anchor" href="#how-to-make-sure" aria-label="Permalink to &quot;How to make sure&quot;">​</a></h2><p>Standard error has <code>thread &#39;...&#39; panicked at FILE:LINE</code>.</p><h2 id="how-to-cure-it" tabindex="-1">How to cure it <a class="header-anchor" href="#how-to-cure-it" aria-label="Permalink to &quot;How to cure it&quot;">​</a></h2><p>Handle that error where it happens: whatever other threads do at exit is normal input. Catch panics at every <code>extern &quot;C&quot;</code> boundary.</p><p>For a panic at exit in a thread of an addon: <a href="./../cure-your-addon/">cure your addon</a>.</p></div>`);
}
const _sfc_setup = _sfc_main.setup;
_sfc_main.setup = (props, ctx) => {
  const ssrContext = useSSRContext();
  (ssrContext.modules || (ssrContext.modules = /* @__PURE__ */ new Set())).add("diagnosis/rust-panic.md");
  return _sfc_setup ? _sfc_setup(props, ctx) : void 0;
};
const rustPanic = /* @__PURE__ */ _export_sfc(_sfc_main, [["ssrRender", _sfc_ssrRender]]);
export {
  __pageData,
  rustPanic as default
};
