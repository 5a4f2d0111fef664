import { builtIn } from '../built-in.js';

/** What this client uses of `node:util`. */
export const { debuglog, inspect, types } = builtIn('node:util');
