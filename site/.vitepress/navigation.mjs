// @ts-check

/** @typedef {{ text: string, link?: string, collapsed?: boolean, items?: Item[] }} Item */

/** @type {Item[]} */
export const navigation = [
  { text: 'My CI dies at exit', link: '/crash-at-exit' },
  { text: 'Tester', link: '/tester' },
  { text: 'Cure your addon', link: '/cure-your-addon/' },
  { text: 'etcd', link: '/guide/' },
  { text: 'Reference', link: '/reference/' },
];

/** @type {Item[]} */
export const sidebar = [
  {
    text: 'How to',
    items: [
      { text: 'My CI dies at exit now and then', link: '/crash-at-exit' },
      { text: 'Test exits in CI', link: '/ci' },
      {
        text: 'Cure your addon',
        link: '/cure-your-addon/',
        items: [
          { text: 'A Python module (pyo3)', link: '/cure-your-addon/pyo3' },
          { text: 'A Node addon (napi-rs)', link: '/cure-your-addon/napi-rs' },
        ],
      },
      { text: 'Use etcd from TypeScript', link: '/guide/' },
      { text: 'Come from etcd3, etcd-client-py or Go', link: '/guide/coming-from' },
      { text: 'Troubleshooting', link: '/troubleshooting' },
      { text: 'Measure it yourself', link: '/measuring' },
    ],
  },
  {
    text: 'Reference',
    items: [
      { text: 'The tester', link: '/tester' },
      { text: 'Options of the tester', link: '/options' },
      { text: 'Diagnosis: kinds of failure', link: '/diagnosis/' },
      { text: 'clientv3, function by function', link: '/parity' },
      { text: 'APIs of the packages and crates', link: '/reference/' },
      { text: 'Supported platforms', link: '/support' },
      { text: 'Versions and compatibility', link: '/versioning' },
      { text: 'Glossary', link: '/glossary' },
    ],
  },
  {
    text: 'Explanation',
    items: [
      { text: 'Questions and answers', link: '/faq' },
      { text: 'Statistics', link: '/statistics' },
      { text: 'Architecture', link: '/architecture' },
      { text: "Where the etcd client's time goes", link: '/etcd-performance' },
    ],
  },
  {
    text: 'Measurements',
    collapsed: true,
    items: [
      { text: 'How the benchmark works', link: '/measurements/benchmarks' },
      { text: 'Performance of the etcd client', link: '/measurements/performance' },
      { text: 'Reliability under faults', link: '/measurements/reliability' },
      { text: 'Exits on every runtime', link: '/measurements/soak' },
      { text: 'The cure, before and after', link: '/measurements/cure' },
      { text: 'What the tester finds', link: '/measurements/sensitivity' },
      { text: 'Public cases', link: '/measurements/field' },
      { text: 'Runtimes', link: '/measurements/runtimes' },
      { text: 'Sanitizers', link: '/measurements/sanitizers' },
    ],
  },
];
