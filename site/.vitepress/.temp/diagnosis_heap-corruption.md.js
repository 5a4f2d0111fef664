import { ssrRenderAttrs } from "vue/server-renderer";
import { useSSRContext } from "vue";
import { _ as _export_sfc } from "./plugin-vue_export-helper.1tPrXgE0.js";
const __pageData = JSON.parse('{"title":"The heap was corrupted","description":"","frontmatter":{},"headers":[],"relativePath":"diagnosis/heap-corruption.md","filePath":"diagnosis/heap-corruption.md"}');
const _sfc_main = { name: "diagnosis/heap-corruption.md" };
function _sfc_ssrRender(_ctx, _push, _parent, _attrs, $props, $setup, $data, $options) {
  _push(`<div${ssrRenderAttrs(_attrs)}><h1 id="the-heap-was-corrupted" tabindex="-1">The heap was corrupted <a class="header-anchor" href="#the-heap-was-corrupted" aria-label="Permalink to &quot;The heap was corrupted&quot;">​</a></h1><p>The allocator found a double free or an overwritten block. At exit the usual cause is two owners that free the same object, or a thread that writes to what the main thread frees.</p><h2 id="how-to-make-sure" tabindex="-1">How to make sure <a class="header-anchor" href="#how-to-make-sure" aria-label="Permalink to &quot;How to make sure&quot;">​</a></h2><p>Run with <code>valgrind</code> or AddressSanitizer (see <a href="./#valgrind-and-sanitizers">Valgrind and sanitizers</a>): the place where the allocator notices is rarely the place of the mistake.</p><h2 id="how-to-cure-it" tabindex="-1">How to cure it <a class="header-anchor" href="#how-to-cure-it" aria-label="Permalink to &quot;How to cure it&quot;">​</a></h2><p>Give each object one owner, and stop threads before freeing what they use.</p><p>In a napi-rs addon whose thread <code>tokio-rt-worker</code> dies as a worker ends: <a href="./../cure-your-addon/napi-rs">cure a napi-rs addon</a>.</p></div>`);
}
const _sfc_setup = _sfc_main.setup;
_sfc_main.setup = (props, ctx) => {
  const ssrContext = useSSRContext();
  (ssrContext.modules || (ssrContext.modules = /* @__PURE__ */ new Set())).add("diagnosis/heap-corruption.md");
  return _sfc_setup ? _sfc_setup(props, ctx) : void 0;
};
const heapCorruption = /* @__PURE__ */ _export_sfc(_sfc_main, [["ssrRender", _sfc_ssrRender]]);
export {
  __pageData,
  heapCorruption as default
};
