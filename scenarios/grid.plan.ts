// Every ending on every runtime in every situation: quiesce run --plan scenarios/grid.plan.ts --only 'node20, *'
import { definePlan } from 'quiesce';
import { cellScenario, cells } from './grid/cells.js';
import { gridServices } from './grid/services.js';

export default definePlan(async () => ({
  services: await gridServices(),
  defaults: { runs: 2 },
  scenarios: cells.map(cellScenario),
}));
