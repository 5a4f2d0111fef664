import { ssrRenderAttrs } from "vue/server-renderer";
import { useSSRContext } from "vue";
import { _ as _export_sfc } from "./plugin-vue_export-helper.1tPrXgE0.js";
const __pageData = JSON.parse('{"title":"Quiesce","description":"","frontmatter":{},"headers":[],"relativePath":"index.md","filePath":"README.md"}');
const _sfc_main = { name: "index.md" };
function _sfc_ssrRender(_ctx, _push, _parent, _attrs, $props, $setup, $data, $options) {
  _push(`<div${ssrRenderAttrs(_attrs)}><h1 id="quiesce" tabindex="-1">Quiesce <a class="header-anchor" href="#quiesce" aria-label="Permalink to &quot;Quiesce&quot;">​</a></h1><p>A program&#39;s work is done, and then its process dies: SIGABRT or SIGSEGV, now and then, mostly in CI and on fast machines. The usual cause is a native module whose background threads still run while the host (Python, Node, Bun or Deno) is taken down. Quiesce finds such crashes, names the culprit, and cures it.</p><h2 id="where-to-begin" tabindex="-1">Where to begin <a class="header-anchor" href="#where-to-begin" aria-label="Permalink to &quot;Where to begin&quot;">​</a></h2><table tabindex="0"><thead><tr><th>you</th><th>begin with</th></tr></thead><tbody><tr><td>have a CI job that dies at exit now and then</td><td><a href="./crash-at-exit">My CI dies at exit now and then</a></td></tr><tr><td>maintain a Python module or Node addon in Rust that crashes</td><td><a href="./cure-your-addon/">Cure your addon</a></td></tr><tr><td>want to use etcd from Node, Bun or Deno</td><td><a href="./guide/">Guide to @quiesce/etcd</a></td></tr><tr><td>use etcd3, etcd-client-py or clientv3 today</td><td><a href="./guide/coming-from">Coming from another client</a></td></tr><tr><td>want a check in CI that each exit stays clean</td><td><a href="./ci">The tester in CI</a></td></tr><tr><td>read a report of the tester and want to know what a word means</td><td><a href="./diagnosis/">Diagnosis</a>, <a href="./glossary">glossary</a></td></tr></tbody></table><h2 id="what-there-is" tabindex="-1">What there is <a class="header-anchor" href="#what-there-is" aria-label="Permalink to &quot;What there is&quot;">​</a></h2><ul><li><strong><code>quiesce</code></strong>, a shutdown stress tester for any command: <a href="./tester">the tester</a>, <a href="./options">its options</a>, <a href="./statistics">statistics</a>, <a href="./diagnosis/">kinds of failure</a>.</li><li><strong><code>@quiesce/etcd</code></strong>, an etcd v3 client for TypeScript that never crashes its host: <a href="./guide/">guide</a>, <a href="./parity">clientv3&#39;s API, function by function</a>.</li><li><strong><code>owned-runtime</code></strong>, <strong><code>owned-runtime-pyo3</code></strong> and <strong><code>owned-runtime-napi</code></strong>, the Rust crates with the cure: <a href="./cure-your-addon/">cure your addon</a>.</li></ul><p><a href="./troubleshooting">Troubleshooting</a>, <a href="./faq">questions and answers</a>, and <a href="./architecture">how it is built</a>. What was measured is in <a href="./measurements/performance">measurements</a>, and <a href="./measuring">measure it yourself</a> has the commands. <a href="./support">Supported platforms</a>, <a href="./versioning">what a version covers</a>, and <a href="https://github.com/quiesce/quiesce/blob/main/examples/tester" target="_blank" rel="noreferrer">examples for the tester</a>.</p></div>`);
}
const _sfc_setup = _sfc_main.setup;
_sfc_main.setup = (props, ctx) => {
  const ssrContext = useSSRContext();
  (ssrContext.modules || (ssrContext.modules = /* @__PURE__ */ new Set())).add("README.md");
  return _sfc_setup ? _sfc_setup(props, ctx) : void 0;
};
const README = /* @__PURE__ */ _export_sfc(_sfc_main, [["ssrRender", _sfc_ssrRender]]);
export {
  __pageData,
  README as default
};
