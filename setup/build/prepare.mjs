// @ts-check
import { provideEtcd } from '../provide/etcd.mjs';
import { installNodeModules } from '../provide/node-modules.mjs';
import { buildNativeLibraries } from './native-libraries.mjs';
import { compileTypeScript } from './typescript.mjs';

/** The part of set-up that all commands share. Does only what isn't up to date. */
export async function prepare() {
  await installNodeModules();
  await buildNativeLibraries();
  await compileTypeScript();
  await provideEtcd();
}

/** The part of it that packages are made of beside native code. */
export async function prepareTypeScript() {
  await installNodeModules();
  await compileTypeScript();
}
