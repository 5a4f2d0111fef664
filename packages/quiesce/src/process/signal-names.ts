import { constants } from 'node:os';

// Some numbers have several names, such as SIGABRT and SIGIOT; the first is the usual one.
const names = new Map<number, NodeJS.Signals>();
for (const [name, number] of Object.entries(constants.signals)) {
  if (!names.has(number)) names.set(number, name as NodeJS.Signals);
}

/** The usual name of a signal number. */
export function signalName(number: number): NodeJS.Signals | undefined {
  return names.get(number);
}
