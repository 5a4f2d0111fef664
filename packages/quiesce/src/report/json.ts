import { type PlanResult, requireResult } from '../results/result.js';
import { savedReport } from '../results/saved-report.js';
import type { NamedComparison } from './comparison.js';

/**
 * The result as plain data, of the shape that the package's `report.schema.json` describes. It includes the comparisons
 * that the result was made for.
 */
export function jsonReport(
  result: PlanResult,
  comparisons?: readonly NamedComparison[],
): Record<string, unknown> {
  requireResult(result, 'what to report');
  return { ...savedReport(result), ...(comparisons && { comparisons }) };
}
