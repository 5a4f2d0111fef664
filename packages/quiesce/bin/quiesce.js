#!/usr/bin/env node
// In the package from the first, so that npm links it before the rest is built.
import '../dist/src/cli.js';
