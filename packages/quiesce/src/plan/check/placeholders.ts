// check/: what is wrong in a plan: in its fields, between them, and with this machine. fields.ts and options.ts of the
// folder above have the forms of single fields.
import type { Matrix } from '../plan.js';

/** What a matrix fills in, in commands and variables. */
export type Placeholder = 'runtime' | 'python' | 'npm';

/** The axis that fills in each placeholder, and an example of it. */
export const AXES: Readonly<
  Record<Placeholder, { readonly name: string; readonly is: RegExp; readonly example: string }>
> = {
  runtime: { name: 'runtime', is: /^runtime$/, example: 'runtime: [node@22]' },
  python: { name: 'python or pypi:NAME', is: /^(?:python$|pypi:)/, example: 'python: [python3]' },
  npm: { name: 'npm:NAME', is: /^npm:/, example: "'npm:NAME': [1.2.3]" },
};

/** A text whose placeholders are filled in, where there is something to fill in. */
export const filled = (text: string, places: { readonly [name in Placeholder]?: string }): string =>
  text.replace(/\$\{(runtime|python|npm)\}/g, (whole, name: Placeholder) => places[name] ?? whole);

/** Axes of a matrix that none of a scenario's texts refer to, each with its placeholder: all rows would run the same. */
export function idleAxes(matrix: Matrix, texts: readonly string[]): { axis: string; placeholder: string }[] {
  return Object.keys(matrix).flatMap((axis) => {
    const name = (Object.keys(AXES) as Placeholder[]).find((one) => AXES[one].is.test(axis));
    const placeholder = `\${${name}}`;
    return name === undefined || texts.some((text) => text.includes(placeholder))
      ? []
      : { axis, placeholder };
  });
}
