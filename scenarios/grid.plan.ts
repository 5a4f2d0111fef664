// Every ending on every runtime in every situation, plain and amplified, as npm run soak runs it:
// quiesce run --plan scenarios/grid.plan.ts --only 'node20, *'
import { definePlan } from 'quiesce';
import { soakCells, soakPlan } from './grid/soak-plan.js';

export default definePlan(() =>
  soakPlan(
    soakCells(0).map((cell) => ({ ...cell, runs: 2 })),
    { jobs: 2, seed: 0 },
  ),
);
