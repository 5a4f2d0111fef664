// Scenario 0 on valkey-glide: connect, one set, one get, then exit without closing.
import { leave } from './leave.js';
import { useValkey } from './valkey-glide.js';

await useValkey('scenario/basic-set');
leave();
