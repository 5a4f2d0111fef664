// Single cells of npm run cure: quiesce run --plan scenarios/cure.plan.ts --only 'owned-runtime-napi / bun / *' -n 100
import { definePlan } from 'quiesce';
import { cureCells, curePlan } from './cure/cells.js';

export default definePlan(() => curePlan(cureCells({ runs: 300, seed: 0 }), { seed: 0, jobs: 2 }));
