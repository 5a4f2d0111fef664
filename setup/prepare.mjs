import { provideEtcd } from './steps/etcd.mjs';
import { buildNativeLibraries } from './steps/native-libraries.mjs';
import { installNodeModules } from './steps/node-modules.mjs';
import { compileTypeScript } from './steps/typescript.mjs';

/** The part of set-up that all commands share. Does only what isn't up to date. */
export async function prepare() {
  await installNodeModules();
  await buildNativeLibraries();
  await compileTypeScript();
  await provideEtcd();
}
