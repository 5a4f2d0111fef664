import { ssrRenderAttrs } from "vue/server-renderer";
import { useSSRContext } from "vue";
import { _ as _export_sfc } from "./plugin-vue_export-helper.1tPrXgE0.js";
const __pageData = JSON.parse('{"title":"The main thread waits for something that never happens","description":"","frontmatter":{},"headers":[],"relativePath":"diagnosis/blocked.md","filePath":"diagnosis/blocked.md"}');
const _sfc_main = { name: "diagnosis/blocked.md" };
function _sfc_ssrRender(_ctx, _push, _parent, _attrs, $props, $setup, $data, $options) {
  _push(`<div${ssrRenderAttrs(_attrs)}><h1 id="the-main-thread-waits-for-something-that-never-happens" tabindex="-1">The main thread waits for something that never happens <a class="header-anchor" href="#the-main-thread-waits-for-something-that-never-happens" aria-label="Permalink to &quot;The main thread waits for something that never happens&quot;">​</a></h1><p>At the timeout the main thread waited for a lock, a thread or a condition, or in a blocking call such as <code>accept</code>, <code>recv</code>, <code>poll</code>, <code>wait4</code> or <code>nanosleep</code>. The report says what is waited for where it is known: a child process, with its number and command, or a sleep. It may have begun to exit: an exit handler that waits for a child, sleeps, or reads is blocked, too. An exit that waits for a thread of its own is <a href="./join-at-exit">join-at-exit</a>.</p><h2 id="how-to-make-sure" tabindex="-1">How to make sure <a class="header-anchor" href="#how-to-make-sure" aria-label="Permalink to &quot;How to make sure&quot;">​</a></h2><p>See what the other threads hold or wait for. If the program is only slow, give a longer <code>--timeout</code>.</p><h2 id="how-to-cure-it" tabindex="-1">How to cure it <a class="header-anchor" href="#how-to-cure-it" aria-label="Permalink to &quot;How to cure it&quot;">​</a></h2><p>Order the locks, don&#39;t call back into the host with a lock held, and give waits a bound.</p></div>`);
}
const _sfc_setup = _sfc_main.setup;
_sfc_main.setup = (props, ctx) => {
  const ssrContext = useSSRContext();
  (ssrContext.modules || (ssrContext.modules = /* @__PURE__ */ new Set())).add("diagnosis/blocked.md");
  return _sfc_setup ? _sfc_setup(props, ctx) : void 0;
};
const blocked = /* @__PURE__ */ _export_sfc(_sfc_main, [["ssrRender", _sfc_ssrRender]]);
export {
  __pageData,
  blocked as default
};
