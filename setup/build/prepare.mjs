// @ts-check
import { provideEtcd } from '../provide/etcd.mjs';
import { installNodeModules } from '../provide/node-modules.mjs';
import { buildNativeLibraries } from './native-libraries.mjs';
import { compileTypeScript } from './typescript.mjs';

/** The part of set-up that all commands share. It does only what isn't up to date. */
export async function prepare() {
  await installNodeModules();
  await buildNativeLibraries();
  await compileTypeScript();
  await provideEtcd();
}

/** The part that packages need besides native code. */
export async function prepareTypeScript() {
  await installNodeModules();
  await compileTypeScript();
}
