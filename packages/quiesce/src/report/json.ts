import type { PlanResult } from '../results/result.js';
import { savedReport } from '../results/saved-report.js';
import type { NamedComparison } from './comparison.js';

/**
 * The result as plain data, of the shape that the package's `report.schema.json` describes, with comparisons where it was
 * made for some.
 */
export function jsonReport(
  result: PlanResult,
  comparisons?: readonly NamedComparison[],
): Record<string, unknown> {
  return { ...savedReport(result), ...(comparisons && { comparisons }) };
}
