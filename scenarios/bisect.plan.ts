// For `quiesce bisect`: finds the version of etcd-client-py that cured the crash at exit. docs/tester.md has the
// command.
import { etcdService } from '@quiesce/test-services';
import { definePlan } from 'quiesce';
import { pythonProgram } from './in-root.js';

export default definePlan({
  services: { etcd: etcdService() },
  scenarios: [
    {
      name: 'basic put',
      // biome-ignore lint/suspicious/noTemplateCurlyInString: bisect's own placeholder
      command: ['${python}', pythonProgram('basic_put')],
      uses: ['etcd'],
    },
  ],
});
