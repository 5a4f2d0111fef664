// For `quiesce bisect`: which version of etcd-client-py cured the crash at exit. docs/tester.md has the command.
import { fileURLToPath } from 'node:url';
import { etcdService } from '@quiesce/test-services';
import { definePlan } from 'quiesce';

export default definePlan({
  services: { etcd: etcdService() },
  scenarios: [
    {
      name: 'basic put',
      // biome-ignore lint/suspicious/noTemplateCurlyInString: bisect's own placeholder
      command: ['${python}', fileURLToPath(new URL('python/basic_put.py', import.meta.url))],
      uses: ['etcd'],
    },
  ],
});
